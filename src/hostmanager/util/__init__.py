"""What every room may use: the standard library only, and nothing of the project."""
