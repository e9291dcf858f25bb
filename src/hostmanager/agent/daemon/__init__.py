"""The manager as a daemon: its signals, its log, process 1, one of an id, what systemd is told."""
