"""`hostmanager check`: each kind of check, and how the results are shown."""
