"""Where everything is: the only module that makes paths of it. `util.names` writes the ids.

In the state folder:  pipes/ID.pipe, scribe.control, scribe.debts, scribe.lock, scribe.log,
                      manager.lock
In the files folder:  ID.out, ID.out.times                what is written now, and its times
                      ID.out.1, ID.out.1.times            before that
                      ID.out.2.gz (or ID.out.2), …        before that, and so on
                      ID.out.gz.new                       being compressed

With the suffixes, an id may look like anything that an id may look like (`..`, `control`).
"""

import os

from hostmanager.util.files import is_own
from hostmanager.util.names import decode_id, encode_id, is_usable_id

_SUFFIX = ".pipe"


def validate_id(instance_id: str) -> str:
    """Give back an instance id that there can be files of.

    Raises:
        ValueError: There cannot.
    """
    if not is_usable_id(instance_id):
        raise ValueError(f"{instance_id!r:.250} cannot be the name of an instance")
    return instance_id


def file_name(instance_id: str) -> str:
    """An instance id as part of a file name, or as a word of the control pipe.

    Raises:
        ValueError: There can be no such instance.
    """
    return encode_id(validate_id(instance_id))


def pipes(state: str) -> str:
    """The folder of the pipes."""
    return os.path.join(state, "pipes")


def pipe(state: str, instance_id: str) -> str:
    """The pipe of an instance."""
    return os.path.join(state, "pipes", file_name(instance_id) + _SUFFIX)


def list_pipes(state: str) -> list[str]:
    """The ids of all instances that there are pipes of.

    Raises:
        OSError: The folder cannot be read.
    """
    found = []
    for name in sorted(os.listdir(pipes(state))):
        instance_id = decode_id(name.removesuffix(_SUFFIX)) if name.endswith(_SUFFIX) else None
        if instance_id is not None:
            found.append(instance_id)
    return found


def control(state: str) -> str:
    """The pipe that the scribe is told things through."""
    return os.path.join(state, "scribe.control")


def lock(state: str) -> str:
    """The file that a running scribe has locked."""
    return os.path.join(state, "scribe.lock")


def log(state: str) -> str:
    """Where the scribe tells of its troubles."""
    return os.path.join(state, "scribe.log")


def debts(state: str) -> str:
    """Where a scribe leaves to the next one what was lost and is not told yet."""
    return os.path.join(state, "scribe.debts")


def manager_lock(state: str) -> str:
    """The file that a running manager has locked."""
    return os.path.join(state, "manager.lock")


def log_file(files: str, instance_id: str, slot: int = 0) -> str:
    """An output file, not compressed; slot 0 is being written, 1 was before that."""
    path = os.path.join(files, file_name(instance_id) + ".out")
    return f"{path}.{slot}" if slot else path


def compressed_file(files: str, instance_id: str, slot: int) -> str:
    """The same, compressed."""
    return log_file(files, instance_id, slot) + ".gz"


def timestamps_file(files: str, instance_id: str, slot: int = 0) -> str:
    """The times of the output file in this slot."""
    return log_file(files, instance_id, slot) + ".times"


def compress_tmp(files: str, instance_id: str) -> str:
    """What is not a compressed file yet."""
    return log_file(files, instance_id) + ".gz.new"


def list_log_files(files: str, instance_id: str) -> list[str]:
    """The output files of an instance that there are (ours alone), the newest first.

    Raises:
        ValueError: The id cannot be part of a file name.
    """
    begin = os.path.basename(log_file(files, instance_id))
    try:
        present = os.listdir(files)
    except OSError:
        return []
    found = []
    for name in present:
        slot = name.removeprefix(begin).removesuffix(".gz").removeprefix(".")
        if name == begin:
            found.append((0, name))
        elif name.startswith(begin + ".") and slot.isascii() and slot.isdecimal():
            found.append((int(slot), name))
    paths = [os.path.join(files, name) for _, name in sorted(found)]
    return [path for path in paths if is_own(path)]
