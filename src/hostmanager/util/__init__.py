"""Shared by all packages: imports the standard library only, and nothing of the project."""
