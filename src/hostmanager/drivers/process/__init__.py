"""Instances as processes of this host."""

from hostmanager.drivers.process.driver import ProcessDriver
from hostmanager.drivers.process.launch_gate import LaunchGate
from hostmanager.drivers.process.output.log_daemon_sink import Scribed
from hostmanager.drivers.process.ownership.discovery import Ownership
from hostmanager.drivers.process.process_state import Condition, Conditions
from hostmanager.drivers.process.spawn import Command

__all__ = [
    "Command",
    "Condition",
    "Conditions",
    "LaunchGate",
    "Ownership",
    "ProcessDriver",
    "Scribed",
]
