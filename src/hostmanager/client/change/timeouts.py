"""How long each change is waited for."""

TIMEOUTS = {
    "up": 60.0,
    "down": 60.0,  # one agent may take 15 s to stop
    "restart": 60.0,
    "reload": 30.0,  # a manager asks in a process of its own which agent classes are installed
    "pull": 1800.0,  # images can be large and networks slow
    "orphans": 60.0,  # a container may take 10 s to stop
    "silence": 10.0,
    "unsilence": 10.0,
    "ack": 10.0,
}
"""Seconds, by action."""
