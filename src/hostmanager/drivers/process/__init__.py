"""Instances as processes of this host."""

from hostmanager.drivers.process.driver import ProcessDriver
from hostmanager.drivers.process.ownership import Ownership
from hostmanager.drivers.process.scribed import Scribed
from hostmanager.drivers.process.spawn import Command

__all__ = ["Command", "Ownership", "ProcessDriver", "Scribed"]
