"""What `hostmanager status` shows, once and live."""
