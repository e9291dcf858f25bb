"""The last copy of a site config that could be used, for the moment when somebody mistypes it.

Managers go on with what they have read before; so do the commands that look at them or give them
targets. The copy is the user's own, mode 0600: a site config may hold passwords. A copy that cannot be
kept costs nothing but that.
"""

import hashlib
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hostmanager.util.files import read_bounded
from hostmanager.util.text import format_age

MAX_COPY_BYTES = 16 * 1024 * 1024
"""Bytes of a site config that is kept."""


def copy_path(site_file: Path, environ: Mapping[str, str]) -> Path:
    """Where the copy of a site config is: in the user's cache directory (XDG)."""
    base = Path(environ.get("XDG_CACHE_HOME") or "")
    if not base.is_absolute():
        base = Path(environ.get("HOME") or Path.home()) / ".cache"
    digest = hashlib.sha256(os.fsencode(site_file.absolute())).hexdigest()[:16]
    return base / "hostmanager" / "site-configs" / f"{digest}.yaml"


def keep_copy(site_file: Path, environ: Mapping[str, str]) -> None:
    """Keep a copy of a site config that has just been read, if it is not that one already."""
    path = copy_path(site_file, environ)
    with suppress(OSError, ValueError):
        data = read_bounded(site_file, MAX_COPY_BYTES)
        with suppress(OSError, ValueError):
            if read_bounded(path, MAX_COPY_BYTES, follow_links=False) == data:
                os.utime(path)
                return
        import tempfile  # noqa: PLC0415 - seldom needed, and with it `random`

        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, new = tempfile.mkstemp(dir=path.parent)  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(new).replace(path)
        except OSError:
            Path(new).unlink()


def copy_notice(copy: Path, error: object) -> str:
    """What people read when a copy takes the place of a file."""
    age = format_age(max(0.0, time.time() - copy.stat().st_mtime))
    return (
        f"{error}\nThe last copy that could be used is shown instead; it was read here {age} ago."
    )
