"""What is known of a site at one moment, and which part of it a command is about."""
