"""Who a manager is, whatever it is called and wherever its router is.

A random number, made when the state folder is, and kept there: everything that is launched
carries it, and no process of another user can know it. Where the folder was lost, those who
carry it give it back: agents whose manager had our name, or our key.
"""

import logging
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hostmanager.core.model import InstanceSpec
from hostmanager.drivers.process.ownership import env_tag as marks
from hostmanager.drivers.process.ownership.env_tag import EnvTag, is_identity
from hostmanager.util.files import read_bounded

log = logging.getLogger(__name__)

MAX_IDENTITIES = 16
"""Identities that are remembered: that many folders can have been lost while agents ran."""

_MAX_FILE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class ManagerIdentity:
    """How a manager is told from others.

    Attributes:
        key: What the version before has instead: a digest of address, realm and router. It
            stays in marks, so that each version takes over what the other launched.
        values: Ours, and those that we had before; the first is given to what is launched.
        site: Digest of what we are called: address, and real path of the site config.
    """

    key: str
    values: tuple[str, ...]
    site: str = ""

    def owns(self, mark: EnvTag) -> bool:
        """Whether a mark is of ours. Who carries it must be of our user, too."""
        return mark.identity in self.values if mark.identity else mark.key == self.key

    def mark(self, spec: InstanceSpec) -> EnvTag:
        """The mark of a process that is about to be launched."""
        now = marks.now_ticks()
        mine = (self.values[0], self.site)
        return EnvTag(self.key, spec.instance_id, spec.fingerprint, now, spec.agent_class, *mine)


def load_identity(path: Path, key: str, site: str) -> ManagerIdentity:
    """Read our identity, or find it again, or make one; no other manager may do so meanwhile.

    Args:
        path: Where it is kept.
        key: See `Identity`.
        site: See `Identity`.

    Raises:
        OSError: /proc cannot be read.
    """
    kept = _read(path)
    if not kept:
        kept = _identities_of_agents(key, site) or (secrets.token_hex(16),)
        _write(path, kept)
    return ManagerIdentity(key, kept, site)


def _read(path: Path) -> tuple[str, ...]:
    try:
        data = read_bounded(path, _MAX_FILE_BYTES, follow_links=False)
    except FileNotFoundError:
        return ()
    except OSError as error:
        log.warning("%s cannot be read (%s); another one is made", path, error.strerror)
        return ()
    lines = data.decode("ascii", "replace").split("\n")[:MAX_IDENTITIES]
    return tuple(line for line in lines if is_identity(line))


def _identities_of_agents(key: str, site: str) -> tuple[str, ...]:
    """The identities of managers that were called as we are, or had our key."""

    def was_ours(mark: EnvTag) -> bool:
        return bool(mark.identity) and (mark.site == site or mark.key == key)

    found = (marked.tag for marked in marks.find_tagged(was_ours))
    return tuple({mark.identity: None for mark in found if mark})[:MAX_IDENTITIES]


def _write(path: Path, values: tuple[str, ...]) -> None:
    new = path.with_name(path.name + ".new")
    try:
        with suppress(FileNotFoundError):
            new.unlink()
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write("".join(f"{value}\n" for value in values).encode())
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        log.warning(
            "%s cannot be written (%s); a manager that is started anew knows its agents by what "
            "they carry",
            *(path, error.strerror),
        )
