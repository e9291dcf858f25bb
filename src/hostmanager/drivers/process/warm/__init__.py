"""Warm launch: agents are forked from a process that has imported OCS already."""
