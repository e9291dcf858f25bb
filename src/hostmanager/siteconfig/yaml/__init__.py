"""YAML with the location of every node."""
