"""What follows from an event: what is known then, and what is to be done."""
