"""Sockets: where to listen, messages to systemd, what TLS reports."""
