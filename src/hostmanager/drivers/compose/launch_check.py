"""Looking ahead: whether a service could be launched again, if what runs of it were ended.

What runs is ended for a restart only if the new container can be had: its file can be used, and
its image is here, or can be pulled or built now. A registry may be away, refuse, or not have it;
then the old container goes on.
"""

from typing import Protocol

from hostmanager.composefile.command import CompletedCommand
from hostmanager.core.model import ServiceRef
from hostmanager.drivers.compose.images import acquire_args, is_present
from hostmanager.drivers.compose.watcher import ContainerWatcher


class RunCompose(Protocol):
    """Runs a compose command that is about one service alone."""

    async def __call__(self, service: ServiceRef, *args: str) -> CompletedCommand:
        """Run it, with the service's name after its arguments; none: only see whether it could be.

        Raises:
            ComposeError: It cannot be run.
            ComposeFileError: The service's file cannot be used at present.
        """


async def ensure_launchable(
    service: ServiceRef, compose: RunCompose, sight: ContainerWatcher
) -> str | None:
    """Make sure that the next container of a service could be made; may take long.

    Returns:
        Why it could not; None if it could.

    Raises:
        ComposeError: Compose cannot be run.
        ComposeFileError: The service's file cannot be used at present.
        EngineError: The engine does not tell which images there are.
    """
    await compose(service)
    await sight.refresh_images()
    how = acquire_args(service, sight.images)
    if how is None:
        return None
    done = await compose(service, *how)
    what = service.image or f"of service {service.name}"
    if done.exit_code != 0:
        return f"its image {what} cannot be had: {done.reason}"
    await sight.refresh_images()
    if is_present(service, sight.images):
        return None
    return f"its image {what} is not here, and `compose {how[0]}` did not bring it"
