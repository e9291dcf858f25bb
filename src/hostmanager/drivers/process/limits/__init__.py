"""Limits of agents for memory, CPU and the rest: by cgroups, and by the limits of a process."""
