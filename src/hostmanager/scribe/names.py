"""Where everything is: the only module that makes paths, and that checks ids for it.

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

_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_LONGEST = 200
_SUFFIX = ".pipe"


def checked(instance_id: str) -> str:
    """Give back an instance id that can be part of a file name.

    Raises:
        ValueError: It cannot.
    """
    if not is_usable(instance_id):
        raise ValueError(f"{instance_id!r:.250} cannot be part of a file name")
    return instance_id


def is_usable(instance_id: str) -> bool:
    """Tell whether an instance id can be part of a file name."""
    return 0 < len(instance_id) <= _LONGEST and _ALLOWED.issuperset(instance_id)


def pipes(state: str) -> str:
    """The folder of the pipes."""
    return os.path.join(state, "pipes")


def pipe(state: str, instance_id: str) -> str:
    """The pipe of an instance."""
    return os.path.join(state, "pipes", checked(instance_id) + _SUFFIX)


def piped(state: str) -> list[str]:
    """The ids of all instances that there are pipes of.

    Raises:
        OSError: The folder cannot be read.
    """
    found = []
    for name in sorted(os.listdir(pipes(state))):
        instance_id = name.removesuffix(_SUFFIX)
        if instance_id != name and is_usable(instance_id):
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


def out(files: str, instance_id: str, slot: int = 0) -> str:
    """An output file, not compressed; slot 0 is being written, 1 was before that."""
    path = os.path.join(files, checked(instance_id) + ".out")
    return f"{path}.{slot}" if slot else path


def packed(files: str, instance_id: str, slot: int) -> str:
    """The same, compressed."""
    return out(files, instance_id, slot) + ".gz"


def times(files: str, instance_id: str, slot: int = 0) -> str:
    """The times of the output file in this slot."""
    return out(files, instance_id, slot) + ".times"


def scratch(files: str, instance_id: str) -> str:
    """What is not a compressed file yet."""
    return out(files, instance_id) + ".gz.new"


def existing(files: str, instance_id: str) -> list[str]:
    """The output files of an instance that there are (ours alone), the newest first.

    Raises:
        ValueError: The id cannot be part of a file name.
    """
    begin = os.path.basename(out(files, instance_id))
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
