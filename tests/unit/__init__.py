"""What needs no process and no socket; it mirrors src/."""
