"""Which processes are an instance's own: environment tag, lock, descent."""
