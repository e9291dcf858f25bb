"""The targets that operators set, kept over the end of the manager."""
