"""Old output files: 1 is the newest of them; each moves up by one when another is added.

A file has two names to be moved, its own and that of its times, and the scribe may be
killed in between. Hence two rules: a file moves only to where none is, from the highest
down, so nothing is ever overwritten; and its times go first, so times without a file above
a file without times tell `repair` what was under way.
"""

import contextlib
import os

from hostmanager.logd import paths as names
from hostmanager.util.files import is_own

_BEYOND = 100


def plain_or_packed(files: str, instance_id: str, slot: int) -> list[str]:
    """The paths that hold the output of this slot; mostly one or none."""
    paths = [names.log_file(files, instance_id, slot)]
    if slot:
        paths.append(names.compressed_file(files, instance_id, slot))
    return [path for path in paths if os.path.lexists(path)]


def rotate(files: str, instance_id: str, keep: int) -> None:
    """Make the current file old file 1; the oldest goes if there are too many.

    Raises:
        OSError: The folder cannot be written; everything can be read as before.
    """
    free = 1
    while free <= keep and plain_or_packed(files, instance_id, free):
        free += 1
    if free > keep:
        free = keep
        _remove(files, instance_id, keep)
    for slot in range(free - 1, -1, -1):
        _move_up(files, instance_id, slot)


def repair(files: str, instance_id: str, keep: int) -> None:
    """Complete what a killed scribe had begun, and remove what is too much.

    Raises:
        OSError: The folder cannot be written.
    """
    _unlink(names.compress_tmp(files, instance_id))
    for slot in range(keep + 1, keep + _BEYOND):
        if not _remove(files, instance_id, slot):
            break
    for slot in range(keep, 0, -1):
        paths = plain_or_packed(files, instance_id, slot)
        if len(paths) == 2 and is_own(paths[1]):
            _unlink(paths[0])  # the compressed one gets its name when it is complete
        times = names.timestamps_file(files, instance_id, slot)
        if paths or not os.path.lexists(times):
            continue
        if os.path.lexists(names.timestamps_file(files, instance_id, slot - 1)):
            _unlink(times)  # of nothing
        else:
            _move_data(files, instance_id, slot - 1)


def _move_up(files: str, instance_id: str, slot: int) -> None:
    before = names.timestamps_file(files, instance_id, slot)
    after = names.timestamps_file(files, instance_id, slot + 1)
    if os.path.lexists(before):
        os.rename(before, after)
    else:
        _unlink(after)
    _move_data(files, instance_id, slot)


def _move_data(files: str, instance_id: str, slot: int) -> None:
    for path in plain_or_packed(files, instance_id, slot):
        packed = bool(slot) and path == names.compressed_file(files, instance_id, slot)
        place = names.compressed_file if packed else names.log_file
        os.rename(path, place(files, instance_id, slot + 1))


def _remove(files: str, instance_id: str, slot: int) -> bool:
    paths = plain_or_packed(files, instance_id, slot)
    for path in (*paths, names.timestamps_file(files, instance_id, slot)):
        _unlink(path)
    return bool(paths)


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
