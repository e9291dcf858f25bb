"""What is found beyond what a manager needs to read the site config."""
