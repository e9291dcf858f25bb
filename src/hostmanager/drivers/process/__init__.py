"""Instances as processes of this host."""

from hostmanager.drivers.process.conditions import Condition, Conditions
from hostmanager.drivers.process.driver import ProcessDriver
from hostmanager.drivers.process.gate import LaunchGate
from hostmanager.drivers.process.ownership import Ownership
from hostmanager.drivers.process.scribed import Scribed
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
