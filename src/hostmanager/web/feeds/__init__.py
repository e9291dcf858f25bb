"""What is read once for all browsers that look at it."""
