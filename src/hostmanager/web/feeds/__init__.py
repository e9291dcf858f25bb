"""What is read once for all browsers that show it."""
