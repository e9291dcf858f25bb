"""How `hostmanager status` looks: once, and live."""
