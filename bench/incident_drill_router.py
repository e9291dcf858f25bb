"""The router of the drill as a compose service, which the manager of one host runs."""

import contextlib
from pathlib import Path
from typing import Any

import yaml
from tests.support.engine import IMAGE, Engine

from hostmanager.testing.crossbar_router import CrossbarRouter, find_crossbar, write_config

SERVICE = "ocs-crossbar"
INSTANCE_ID = "crossbar"
FIRST_IMAGE = "drill/crossbar:1"
NEXT_IMAGE = "drill/crossbar:2"


class RouterService(CrossbarRouter):
    """Crossbar in a container: this machine's own crossbar, in its own file system and network.

    Nothing here starts it: that is the manager's work.

    Args:
        directory: For crossbar's files and the compose file.
        engine: Where its container runs.

    Attributes:
        compose_file: The compose file.
        environment: What the manager needs to find the engine.
    """

    def __init__(self, directory: Path, engine: Engine) -> None:
        super().__init__(directory)
        self.compose_file = self.directory / "compose.yaml"
        self.environment = engine.environment
        self._engine = engine

    def start(self, *_: object, **__: object) -> None:
        """Write its files, and name its image."""
        write_config(self.directory, self.port, self.realm, self.address_root)
        self._engine.docker("tag", IMAGE, FIRST_IMAGE)
        self.write(FIRST_IMAGE)

    def write(self, image: str) -> None:
        """Write the compose file, with that image."""
        crossbar = [find_crossbar(), "start", "--cbdir", str(self.directory), "--color", "false"]
        service: dict[str, Any] = {
            "image": image,
            "command": ["chroot", "/host", *crossbar],
            "network_mode": "host",
            "pid": "host",
            "stop_signal": "SIGINT",
            "environment": {"HOME": str(self.directory), "PYTHONUNBUFFERED": "1"},
            "volumes": ["/:/host"],
        }
        draft = self.directory / "draft"
        draft.write_text(yaml.safe_dump({"services": {SERVICE: service}}))
        draft.replace(self.compose_file)

    def fail(self) -> None:
        """Name an image that is nowhere, as an upgrade may do; then its container dies."""
        self.write(NEXT_IMAGE)
        self._compose("kill")

    def get_image(self) -> None:
        """Get the image, as `docker pull` or `docker load` on the host would."""
        self._engine.docker("tag", FIRST_IMAGE, NEXT_IMAGE)

    def stop(self, timeout: float = 10.0) -> None:
        """Remove its container and its images."""
        del timeout
        with contextlib.suppress(AssertionError):
            self._compose("down", "--timeout", "2")
        self._engine.docker("image", "rm", FIRST_IMAGE, NEXT_IMAGE, check=False)

    def _compose(self, *arguments: str) -> None:
        self._engine.compose(*arguments, cwd=self.directory)
