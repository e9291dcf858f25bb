"""The image of the tests: busybox and nothing else, made here, of no registry."""

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

IMAGE = "lab/busybox:1"
ROOT = "rootfs.tar"  # its file system, in the directory of an engine
DIRECTORIES = ("bin", "tmp", "etc", "proc", "sys", "dev", "root")


def is_static(program: Path) -> bool:
    """Whether a program runs where no shared library is."""
    try:
        start = program.read_bytes()[:4096]
    except OSError:
        return False
    return start.startswith(b"\x7fELF") and b"/ld-" not in start


def find_busybox() -> Path | None:
    """A static busybox of this machine."""
    path = shutil.which("busybox")
    return Path(path) if path and is_static(Path(path)) else None


def pack(busybox: Path, target: Path) -> Path:
    """Write the file system of the image: one program under its many names."""
    listed = subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True)
    with tarfile.open(target, "w") as archive:
        for directory in DIRECTORIES:
            _add(archive, directory, tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755)
        _add(archive, "bin/busybox", tarfile.REGTYPE, 0o755, data=busybox.read_bytes())
        for name in set(listed.stdout.split()) - {"busybox"}:
            _add(archive, f"bin/{name}", tarfile.SYMTYPE, 0o777, link="busybox")
        passwd = b"root:x:0:0:root:/root:/bin/sh\n"
        _add(archive, "etc/passwd", tarfile.REGTYPE, 0o644, data=passwd)
    return target


def load(
    root: Path, environment: Mapping[str, str], name: str = IMAGE, changes: Sequence[str] = ()
) -> None:
    """Give the image to an engine, unless it has one of that name.

    Args:
        root: What `pack` wrote.
        environment: Names the engine: DOCKER_HOST and so on.
        name: With its tag.
        changes: Further instructions of a Dockerfile, such as ``LABEL version=2``. With any, the
            image is made anew.
    """
    environment = {**os.environ, **environment}
    known = ["docker", "image", "inspect", name]
    if not changes:
        asked = subprocess.run(
            known, env=environment, capture_output=True, check=False, timeout=100
        )
        if asked.returncode == 0:
            return
    options = [f"--change={change}" for change in ("ENV PATH=/bin", 'CMD ["/bin/sh"]', *changes)]
    command = ["docker", "import", *options, str(root), name]
    subprocess.run(command, env=environment, capture_output=True, check=True, timeout=100)


def _add(
    archive: tarfile.TarFile,
    name: str,
    kind: bytes,
    mode: int,
    *,
    data: bytes = b"",
    link: str = "",
) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname, info.size = kind, mode, link, len(data)
    archive.addfile(info, io.BytesIO(data))
