"""Instances as processes of this host."""

from hostmanager.drivers.process.driver import ProcessDriver
from hostmanager.drivers.process.launch_gate import LaunchGate
from hostmanager.drivers.process.limits.cgroups import find_cgroups
from hostmanager.drivers.process.output.log_daemon_sink import LogDaemonSink
from hostmanager.drivers.process.ownership.discovery import Ownership
from hostmanager.drivers.process.process_state import ProcessState, ProcessStateCache
from hostmanager.drivers.process.spawn import LaunchCommand
from hostmanager.drivers.process.warm.launcher import WarmLauncher

__all__ = [
    "LaunchCommand",
    "LaunchGate",
    "LogDaemonSink",
    "Ownership",
    "ProcessDriver",
    "ProcessState",
    "ProcessStateCache",
    "WarmLauncher",
    "find_cgroups",
]
