"""HostManager: keeps the agents of one OCS host in the state that its operators want."""

__version__ = "0.2.0"
