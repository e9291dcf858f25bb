"""The manager: `main`, the host that it manages, its operations and its connection to the router.

`HostManager` is imported on first use: it pulls in the Twisted reactor, and
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
