"""What was lost and is not told yet, kept from the end of a scribe to the begin of the next.

How much of an instance's output was given up is told in its file as soon as that can be
written. A scribe that is told to end before leaves a note in the state folder, and the next
one tells it. One line for each instance: id, bytes, from when, until when, the error's number.
"""

import contextlib
import os
from collections.abc import Mapping
from typing import NamedTuple

from hostmanager.logd import paths as names
from hostmanager.logd.stderr_log import log_error
from hostmanager.util.files import open_own
from hostmanager.util.names import decode_id
from hostmanager.util.numbers import parse_number

_LARGEST = 1024 * 1024
_LAST_ERROR = 4095  # the kernel's MAX_ERRNO


class LostOutput(NamedTuple):
    """What was lost of one instance.

    Attributes:
        lost: Bytes.
        since: When the first of them was given up, Unix time.
        until: When the last was.
        errno: Why.
    """

    lost: int
    since: float
    until: float
    errno: int


def save(state: str, debts: Mapping[str, LostOutput]) -> None:
    """Note what is owed, for the next scribe; what cannot be noted is told in the log."""
    for instance_id, debt in debts.items():
        log_error(f"output of {instance_id}: {debt.lost} bytes lost; its file tells when it can")
    if not debts:
        return
    path = names.debts(state)
    text = "".join(
        f"{names.file_name(i)} {d.lost} {d.since} {d.until} {d.errno}\n" for i, d in debts.items()
    )
    try:
        fd = open_own(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        log_error(f"{path}: {error}; the next scribe will not know of what was lost")


def load(state: str) -> dict[str, LostOutput]:
    """Read what an earlier scribe has left, and remove it: from now on, it is ours to tell."""
    path = names.debts(state)
    try:
        fd = open_own(path, os.O_RDONLY)
    except OSError:
        return {}
    with contextlib.suppress(OSError):
        os.unlink(path)
    try:
        data = os.read(fd, _LARGEST)
    except OSError as error:  # a folder, say
        log_error(f"{path}: {error}")
        data = b""
    finally:
        os.close(fd)
    found = {}
    for line in data.decode("ascii", "replace").splitlines():
        try:
            name, lost, since, until, number = line.split()
            instance_id = decode_id(name)
            counted, why = parse_number(lost), parse_number(number, _LAST_ERROR)
            debt = LostOutput(counted or 0, float(since), float(until), why or 0)
            if (
                instance_id is None
                or not debt.lost
                or why is None
                or not 0 <= debt.since <= debt.until < 1e11
            ):
                raise ValueError
            found[instance_id] = debt
        except ValueError:
            log_error(f"{path}: not understood: {line[:100]!r}")
    return found
