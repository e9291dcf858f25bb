"""The OCS face of the manager: connection, operations, session data, and `main`.

`HostManager` is imported when it is asked for: it pulls in the Twisted reactor, and
`main` has to choose which one before anything else does.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hostmanager.agent.operations.host_manager import HostManager

__all__ = ["HostManager"]


def __getattr__(name: str) -> Any:
    if name == "HostManager":
        from hostmanager.agent.operations.host_manager import HostManager  # noqa: PLC0415

        return HostManager
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
