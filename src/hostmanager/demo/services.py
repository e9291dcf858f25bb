"""The demo's compose services, where a Docker Engine can be reached.

Two of them: `camera` has an entry in the site file and is managed, `weather` has none and is only
watched. Nothing is downloaded: their image is made here, of a program of 200 bytes that writes a
line now and then. It ends by SIGKILL, since it has no handler for anything else.

Whatever of this exists is named after the demo's folder, so that it can be found and removed by
anybody who knows the folder: the demo, or its guard after the demo was killed.
"""

import io
import os
import platform
import shutil
import struct
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import yaml

MANAGED, WATCHED = "camera", "weather"
FILE = "compose.yaml"
QUICK, SLOW = 5.0, 30.0
"""Seconds that a question, and a deed, may take."""

LINE = b"Nothing to report.\n"
PROJECT = "com.docker.compose.project"


class ServicesError(Exception):
    """There are no services in this demo, or they are not gone; the text says why."""


def compose_command() -> list[str]:
    """How compose is called here, once it is known that the engine answers.

    Raises:
        ServicesError: There is no docker, no compose, or no engine.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        raise ServicesError(f"there is no image for this machine ({platform.machine()})")
    if shutil.which("docker") is None:
        raise ServicesError("the docker command is not installed")
    _run("docker", "version", "--format", "{{.Server.Version}}", limit=QUICK)
    for command in (["docker", "compose"], ["docker-compose"]):
        try:
            _run(*command, "version", limit=QUICK)
        except ServicesError:
            continue
        return command
    raise ServicesError("there is no compose command")


def start(folder: Path, compose: list[str]) -> None:
    """Write the compose file, make the image, and start what nobody manages.

    Raises:
        ServicesError: It did not work; what was made is there to be removed.
    """
    service = {
        "image": _image(folder),
        "stop_signal": "SIGKILL",
        "network_mode": "none",
    }
    services: dict[str, Any] = {f"ocs-{MANAGED}": service, WATCHED: service}
    # This first: where there is a compose file, there may be something to be removed.
    text = yaml.safe_dump({"version": "2.4", "services": services}, sort_keys=False)
    (folder / FILE).write_text(text)
    change = 'ENTRYPOINT ["/report"]'
    _run("docker", "import", "--change", change, "-", _image(folder), feed=_file_system())
    _run(*compose, "-f", str(folder / FILE), "up", "-d", WATCHED, limit=SLOW)


def remove(folder: Path) -> None:
    """Remove the containers and the image of a demo, if there are any.

    Raises:
        ServicesError: Something may be left; the text says how to remove it.
    """
    if not (folder / FILE).exists():
        return
    try:
        label = f"label={PROJECT}={folder.name}"
        if found := _run("docker", "ps", "-aq", "--no-trunc", "--filter", label).split():
            _run("docker", "rm", "--force", *found)
        if _run("docker", "images", "-q", _image(folder)).strip():
            _run("docker", "rmi", "--force", _image(folder))
    except ServicesError as error:
        raise ServicesError(
            f"containers of the compose project {folder.name} may be left, and the image "
            f"{_image(folder)}: {error}"
        ) from None


def _image(folder: Path) -> str:
    return f"{folder.name}:1"


def _run(*command: str, limit: float = SLOW, feed: bytes | None = None) -> str:
    try:
        done = subprocess.run(
            command,
            cwd="/",
            input=feed if feed is not None else b"",
            capture_output=True,
            timeout=limit,
            check=False,
            start_new_session=True,  # Ctrl-C is for the demo alone
        )
    except subprocess.TimeoutExpired:
        raise ServicesError(f"`{command[0]} {command[1]}` did not answer in {limit:g} s") from None
    except OSError as error:
        raise ServicesError(f"{command[0]} cannot be executed: {error.strerror}") from None
    if done.returncode != 0:
        said = [line for line in os.fsdecode(done.stderr).splitlines() if line.strip()]
        raise ServicesError((said or [f"`{command[0]}` failed"])[-1].strip().rstrip("."))
    return os.fsdecode(done.stdout)


def _file_system() -> bytes:
    """The image's file system, packed: one program."""
    packed = io.BytesIO()
    program = _program()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("report")
        entry.size, entry.mode = len(program), 0o755
        tar.addfile(entry, io.BytesIO(program))
    return packed.getvalue()


def _program() -> bytes:
    """A program for Linux on x86-64: for ever, write a line and sleep for 5 s."""
    start, base = 64 + 56, 0x400000  # after the two headers; where it is loaded
    code = (
        b"\xb8\x01\0\0\0"  # mov eax, 1 (write)
        b"\xbf\x01\0\0\0"  # mov edi, 1 (standard output)
        b"\x48\x8d\x35%b"  # lea rsi, [rip + line]
        b"\xba%b"  # mov edx, length
        b"\x0f\x05"  # syscall
        b"\xb8\x23\0\0\0"  # mov eax, 35 (nanosleep)
        b"\x48\x8d\x3d%b"  # lea rdi, [rip + time]
        b"\x31\xf6"  # xor esi, esi
        b"\x0f\x05"  # syscall
        b"\xeb%b"  # jmp to the beginning
    )
    size, after_first_lea, after_second_lea = 42, 17, 36
    code %= (
        struct.pack("<i", size + 16 - after_first_lea),
        struct.pack("<i", len(LINE)),
        struct.pack("<i", size - after_second_lea),
        struct.pack("<b", -size),
    )
    assert len(code) == size, len(code)
    body = code + struct.pack("<qq", 5, 0) + LINE
    whole = start + len(body)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, base + start, 64, 0, 0, 64, 56, 1,
        0, 0, 0,
    )  # fmt: skip
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, whole, whole, 0x1000)
    return header + segment + body
