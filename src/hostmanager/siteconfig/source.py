"""From a path to text: reading a site config without surprises.

The path comes from a person or a unit file, so it may name anything: nothing, a directory,
a pipe without a writer, a disk image, a file that is being written. `read_text` never hangs,
never reads without bound, and says plainly why a file cannot be read.
"""

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from hostmanager.siteconfig.diagnostics import DiagnosticCollector
from hostmanager.util.files import FileTooLargeError, NotRegularFileError, read_bounded
from hostmanager.util.text import did_you_mean

MAX_SITE_FILE_BYTES = 16 * 1024 * 1024
"""No site config is larger than this; what is larger is something else."""


@dataclass(frozen=True, slots=True)
class Location:
    """A location in a text, counted from 1."""

    line: int
    column: int


def read_text(path: Path) -> str:
    """Read a whole site config; blocks for the file system only.

    Raises:
        SiteFileError: It is missing, unreadable, not a regular file, too big, empty, or
            not UTF-8.
    """
    collector = DiagnosticCollector(str(path))
    return _decode(_read_bytes(path, collector), collector)


def _read_bytes(path: Path, collector: DiagnosticCollector) -> bytes:
    try:
        return read_bounded(path, MAX_SITE_FILE_BYTES)
    except FileTooLargeError:
        raise collector.fatal(
            None, "the file is larger than 16 MiB: this is not a site config.", "Check the path."
        ) from None
    except NotRegularFileError as error:
        raise collector.fatal(
            None, f"this is {error.kind}, not a site config.", "Name the YAML file itself."
        ) from None
    except OSError as error:
        raise collector.fatal(None, *_explain_oserror(path, error)) from error
    except ValueError as error:
        raise collector.fatal(
            None, "the path of the site config has a NUL character in it.", "Check the path."
        ) from error


def _explain_oserror(path: Path, error: OSError) -> tuple[str, str]:
    if error.errno == errno.ENOENT:
        return "there is no such file.", did_you_mean(path.name, _similar_files(path))
    if error.errno == errno.EACCES:
        return (
            "permission to read the file is denied.",
            f"User id {os.geteuid()} must be able to read it and enter its directories.",
        )
    if error.errno == errno.ELOOP:
        return "the symbolic links of this path form a circle.", "Fix the links."
    if error.errno == errno.ENOTDIR:
        return "a part of the path is a file, not a directory.", "Check the path."
    return f"the file cannot be read: {error.strerror}.", ""


def _similar_files(path: Path) -> list[str]:
    try:
        with os.scandir(path.parent) as entries:
            return [entry.name for entry in entries if entry.name.endswith((".yaml", ".yml"))]
    except OSError:
        return []


def _decode(raw: bytes, collector: DiagnosticCollector) -> str:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace")
        line_start = before.rfind("\n") + 1
        location = Location(before.count("\n") + 1, len(before) - line_start + 1)
        raise collector.fatal(
            location,
            f"byte 0x{raw[error.start]:02x} is not UTF-8 text.",
            "Save the file in UTF-8 encoding.",
        ) from error
    if not text.strip():
        raise collector.fatal(
            None, "the file is empty.", "It must have the sections 'hub' and 'hosts'."
        )
    return text
