"""The manager in a program of others: OCS's usual `main`, with `HostManager(agent)`.

Such a program has a reactor and an agent of OCS already. What the manager needs beyond that is
made when its process is started, not before: until then, whatever OCS gives will do.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from twisted.internet import reactor

from hostmanager.agent import audit
from hostmanager.agent.bootstrap import close_parts, make_parts
from hostmanager.agent.daemon.single_instance import ManagerRunningError, acquire_manager_lock
from hostmanager.agent.directories import DirectoryError
from hostmanager.agent.options import make_manager_parser
from hostmanager.agent.settings import ManagerSettings, make_settings
from hostmanager.agent.targets.startup_state import load_startup_state
from hostmanager.siteconfig.diagnostics import SiteFileError
from hostmanager.siteconfig.site_file import load_site_file

INSTALL_REACTOR = "from twisted.internet import asyncioreactor; asyncioreactor.install()"


class EmbeddingError(Exception):
    """The manager cannot be run by this program; the text is for people."""


class EmbeddedManager:
    """A manager in another program, and what it holds.

    Args:
        args: What `ocs.site_config` made of the command line; the manager's own options that are
            not in it have their defaults.
        docker_composes: Compose files to manage, beside those in `args`.
        docker_service_prefix: What goes before an instance-id in a compose service's name.

    Attributes:
        parts: Its parts.
        before: What there was before it.

    Raises:
        EmbeddingError: This reactor, these arguments or this site config will not do.
    """

    def __init__(
        self, args: Any, docker_composes: Sequence[str], docker_service_prefix: str
    ) -> None:
        loop = _loop_of_reactor()
        try:
            settings = _make_settings(args, docker_composes, docker_service_prefix)
            self._lock = acquire_manager_lock(settings.state_dir, settings.key, settings.site_key)
        except (SiteFileError, DirectoryError, ManagerRunningError, ValueError) as error:
            raise EmbeddingError(str(error)) from None
        except (AttributeError, TypeError) as error:
            raise EmbeddingError(
                f"The agent's site_args are not those of ocs.site_config.parse_args: {error}"
            ) from None
        try:
            self.parts = make_parts(settings, loop)
            self.before = load_startup_state(
                self.parts.driver, self.parts.target_store, getattr(args, "initial_state", None)
            )
        except BaseException:
            self._lock.close()  # it can be started again
            raise
        audit.record_manager_start(self.parts.journal)
        self.parts.compose.start()

    async def close(self) -> None:
        """Release everything, when all agents have ended."""
        await close_parts(self.parts, 0)
        self._lock.close()


def _loop_of_reactor() -> Any:
    loop = getattr(reactor, "_asyncioEventloop", None)  # it may not be turning yet
    if loop is None:
        raise EmbeddingError(
            f"The host manager needs Twisted's asyncio reactor; this program runs on "
            f"{type(reactor).__name__}. Write `{INSTALL_REACTOR}` before its first import of ocs, "
            "or use `python -m hostmanager.agent`."
        )
    return loop


def _make_settings(
    args: Any, docker_composes: Sequence[str], docker_service_prefix: str
) -> ManagerSettings:
    full = make_manager_parser().parse_args([], argparse.Namespace(**vars(args)))
    if docker_composes:
        full.docker_compose = ",".join(docker_composes)
        full.docker_service_prefix = docker_service_prefix
    settings, _ = make_settings(full, load_site_file(full.site_file, full.site_host))
    return settings
