"""The systemd unit of a manager: written, installed, removed."""
