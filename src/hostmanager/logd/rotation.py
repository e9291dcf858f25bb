"""Old output files: 1 is the newest of them; each moves up by one when another is added.

A file has two names to be moved, its own and that of its timestamps, and the log daemon may be
killed in between. Hence two rules: a file moves only to a free number, from the highest
down, so nothing is ever overwritten; and its timestamps go first, so timestamps without a file
above a file without timestamps show `repair` which move was under way.
"""

import contextlib
import os

from hostmanager.logd import paths
from hostmanager.util.files import is_own

_MAX_SURPLUS = 100


def slot_files(files: str, instance_id: str, slot: int) -> list[str]:
    """The paths that hold the output of this slot; mostly one or none."""
    candidates = [paths.log_file(files, instance_id, slot)]
    if slot:
        candidates.append(paths.compressed_file(files, instance_id, slot))
    return [path for path in candidates if os.path.lexists(path)]


def rotate(files: str, instance_id: str, keep: int) -> None:
    """Make the current file old file 1; the oldest goes if there are too many.

    Raises:
        OSError: The directory cannot be written; everything can be read as before.
    """
    free = 1
    while free <= keep and slot_files(files, instance_id, free):
        free += 1
    if free > keep:
        free = keep
        _remove(files, instance_id, keep)
    for slot in range(free - 1, -1, -1):
        _move_up(files, instance_id, slot)


def repair(files: str, instance_id: str, keep: int) -> None:
    """Complete what a killed log daemon had begun, and remove surplus files.

    Raises:
        OSError: The directory cannot be written.
    """
    _unlink(paths.compress_tmp(files, instance_id))
    for slot in range(keep + 1, keep + _MAX_SURPLUS):
        if not _remove(files, instance_id, slot):
            break
    for slot in range(keep, 0, -1):
        present = slot_files(files, instance_id, slot)
        if len(present) == 2 and is_own(present[1]):
            _unlink(present[0])  # the compressed one gets its name when it is complete
        timestamps = paths.timestamps_file(files, instance_id, slot)
        if present or not os.path.lexists(timestamps):
            continue
        if os.path.lexists(paths.timestamps_file(files, instance_id, slot - 1)):
            _unlink(timestamps)  # without a file
        else:
            _move_data(files, instance_id, slot - 1)


def _move_up(files: str, instance_id: str, slot: int) -> None:
    before = paths.timestamps_file(files, instance_id, slot)
    after = paths.timestamps_file(files, instance_id, slot + 1)
    if os.path.lexists(before):
        os.rename(before, after)
    else:
        _unlink(after)
    _move_data(files, instance_id, slot)


def _move_data(files: str, instance_id: str, slot: int) -> None:
    for path in slot_files(files, instance_id, slot):
        is_compressed = bool(slot) and path == paths.compressed_file(files, instance_id, slot)
        make_path = paths.compressed_file if is_compressed else paths.log_file
        os.rename(path, make_path(files, instance_id, slot + 1))


def _remove(files: str, instance_id: str, slot: int) -> bool:
    present = slot_files(files, instance_id, slot)
    for path in (*present, paths.timestamps_file(files, instance_id, slot)):
        _unlink(path)
    return bool(present)


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
