"""Notes in the working directory, for tests that watch from outside."""

import os
from pathlib import Path


def note(working_dir: str | None, directory: str, instance_id: str, line: str) -> None:
    """Append a line to ``<working dir>/<directory>/<instance id>``, for those outside."""
    if working_dir is None:
        return
    path = Path(working_dir) / directory / instance_id
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(file, f"{line}\n".encode())
    os.close(file)


def publish(path: Path, text: str) -> None:
    """Write a file that is seen whole or not at all: whoever waits for it may read it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text)
    draft.rename(path)
