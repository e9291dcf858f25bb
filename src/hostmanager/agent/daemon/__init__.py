"""The manager as a daemon: signals, log, process 1, one manager for each id, messages to systemd."""
