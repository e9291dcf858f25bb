"""Sockets: where to listen, messages to systemd, what TLS reports, connections to the router."""
