"""A registry on a port of this machine, for a real pull."""

import contextlib
import json
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Self

from hostmanager.testing.ports import free_port
from tests.support.engine import HOW, Engine, MissingError
from tests.support.waiting import wait_for


class Registry:
    """`docker-registry`, with its data in a directory.

    Attributes:
        address: Host and port: images of it are named ``address/name:tag``.
    """

    def __init__(self, directory: Path) -> None:
        program = shutil.which("docker-registry")
        if program is None:
            msg = f"docker-registry is not installed; {HOW.replace(' up', ' up --registry')}"
            raise MissingError(msg)
        self._program = program
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"127.0.0.1:{free_port()}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, at the same address as before; it answers afterwards."""
        settings = {
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(self._directory / "registry")}},
            "http": {"addr": self.address},
        }
        file = self._directory / "registry.json"  # JSON is YAML
        file.write_text(json.dumps(settings))
        with (self._directory / "registry.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", self._program, "serve", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        log_text = (self._directory / "registry.log").read_text
        wait_for(self._answers, 20, f"a registry at {self.address}", lambda: log_text()[-500:])

    def stop(self) -> None:
        """End it; what was pushed stays for the next start."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(60)
            self._process.kill()
            self._process.wait()

    def name(self, image: str) -> str:
        """The full name of an image of this registry: ``name("thing:1")``."""
        return f"{self.address}/{image}"

    def push(self, engine: Engine, image: str, **labels: str) -> str:
        """Put a new image under that name; the engine itself forgets it.

        Returns:
            Its full name. Pushed again with other labels, the name stands for a newer image.
        """
        # Meanwhile it is here under another name of the registry: whoever waits for the image
        # must not find it on this machine.
        local = f"localhost:{self.address.rpartition(':')[2]}/{image}"
        engine.make_image(local, **labels)
        engine.docker("push", "--quiet", local)
        engine.docker("rmi", local)
        return self.name(image)

    def _answers(self) -> bool:
        assert self._process is None or self._process.poll() is None, "the registry has ended"
        with urllib.request.urlopen(f"http://{self.address}/v2/", timeout=2) as answer:
            return bool(answer.status == 200)
