"""The paths of all files: no other module makes any. `util.names` writes the ids.

The paths::

    in the state directory:  pipes/ID.pipe, scribe.control, scribe.lock, scribe.log, manager.lock
    in the files directory:  ID.out, ID.out.times            the current output, its timestamps
                             ID.out.1, ID.out.1.times        the one before
                             ID.out.2.gz (or ID.out.2), …    before that, and so on
                             ID.out.gz.new                   being compressed

With the suffixes, an id may look like anything that an id may look like (`..`, `control`).
"""

import os

from hostmanager.util.files import is_own
from hostmanager.util.names import decode_id, encode_id, is_usable_id

_SUFFIX = ".pipe"


def validate_id(instance_id: str) -> str:
    """Return an instance id that can be part of a file name.

    Raises:
        ValueError: It cannot.
    """
    if not is_usable_id(instance_id):
        raise ValueError(f"{instance_id!r:.250} cannot be the name of an instance")
    return instance_id


def file_name(instance_id: str) -> str:
    """An instance id as part of a file name, or as a word of a command.

    Raises:
        ValueError: It cannot be part of a file name.
    """
    return encode_id(validate_id(instance_id))


def pipes(state: str) -> str:
    """The directory of the pipes."""
    return os.path.join(state, "pipes")


def pipe(state: str, instance_id: str) -> str:
    """The pipe of an instance."""
    return os.path.join(state, "pipes", file_name(instance_id) + _SUFFIX)


def list_pipes(state: str) -> list[str]:
    """The ids of all instances that have a pipe.

    Raises:
        OSError: The directory cannot be read.
    """
    ids = []
    for name in sorted(os.listdir(pipes(state))):
        instance_id = decode_id(name.removesuffix(_SUFFIX)) if name.endswith(_SUFFIX) else None
        if instance_id is not None:
            ids.append(instance_id)
    return ids


def control(state: str) -> str:
    """The pipe of the commands."""
    return os.path.join(state, "scribe.control")


def lock(state: str) -> str:
    """The file that a running log daemon has locked."""
    return os.path.join(state, "scribe.lock")


def log(state: str) -> str:
    """Where the log daemon logs its errors."""
    return os.path.join(state, "scribe.log")


def manager_lock(state: str) -> str:
    """The file that a running manager has locked."""
    return os.path.join(state, "manager.lock")


def log_file(files: str, instance_id: str, slot: int = 0) -> str:
    """An output file, not compressed; slot 0 is the current one, 1 the one before."""
    path = os.path.join(files, file_name(instance_id) + ".out")
    return f"{path}.{slot}" if slot else path


def compressed_file(files: str, instance_id: str, slot: int) -> str:
    """The file that an output file is compressed into."""
    return log_file(files, instance_id, slot) + ".gz"


def timestamps_file(files: str, instance_id: str, slot: int = 0) -> str:
    """The timestamps of the output file in this slot."""
    return log_file(files, instance_id, slot) + ".times"


def compress_tmp(files: str, instance_id: str) -> str:
    """A compressed file that is not complete yet."""
    return log_file(files, instance_id) + ".gz.new"


def list_log_files(files: str, instance_id: str) -> list[str]:
    """The output files of an instance (only our own), the newest first.

    Raises:
        ValueError: The id cannot be part of a file name.
    """
    current = os.path.basename(log_file(files, instance_id))
    try:
        present = os.listdir(files)
    except OSError:
        return []
    by_slot = []
    for name in present:
        slot = name.removeprefix(current).removesuffix(".gz").removeprefix(".")
        if name == current:
            by_slot.append((0, name))
        elif name.startswith(current + ".") and slot.isascii() and slot.isdecimal():
            by_slot.append((int(slot), name))
    files_in_order = [os.path.join(files, name) for _, name in sorted(by_slot)]
    return [path for path in files_in_order if is_own(path)]
