"""What needs something real; a directory for each such thing."""
