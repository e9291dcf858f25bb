"""Sockets: where to listen, what systemd is told, what TLS reports."""
