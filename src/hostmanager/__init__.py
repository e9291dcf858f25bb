"""HostManager: keeps the agents of one OCS host in the state that its operators want."""

__version__ = "0.1.0"
