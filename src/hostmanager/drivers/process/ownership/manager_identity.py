"""The identity of a manager, independent of its name and router.

A random number, made with the state directory and values there. Everything that is launched
inherits it, and no process of another user can know it. If the directory was lost, the identity
is recovered from running agents whose manager had our name, or our key.
"""

import logging
import secrets
from dataclasses import dataclass
from pathlib import Path

from hostmanager.core.model import InstanceSpec
from hostmanager.drivers.process.ownership import env_tag
from hostmanager.drivers.process.ownership.env_tag import EnvTag, is_identity
from hostmanager.util.files import read_bounded, replace_file

log = logging.getLogger(__name__)

MAX_IDENTITIES = 16
"""Identities that are values: one more for each directory that was lost while agents ran."""

_MAX_FILE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class ManagerIdentity:
    """How a manager is distinguished from others.

    Attributes:
        key: What the version before has instead: a digest of address, realm and router. It
            stays in tags, so that each version adopts what the other launched.
        values: Our present identity, then earlier ones.
        site: Digest of our name: address, and real path of the site config.
    """

    key: str
    values: tuple[str, ...]
    site: str = ""

    def owns(self, tag: EnvTag) -> bool:
        """Whether a tag is ours. Its process must be of our user as well."""
        return tag.identity in self.values if tag.identity else tag.key == self.key

    def make_tag(self, spec: InstanceSpec) -> EnvTag:
        """Make the tag for a launch."""
        now = env_tag.now_ticks()
        identity = (self.values[0], self.site)
        return EnvTag(
            self.key, spec.instance_id, spec.fingerprint, now, spec.agent_class, *identity
        )


def load_identity(path: Path, key: str, site: str) -> ManagerIdentity:
    """Read our identity, or recover it, or make one; no other manager may do so meanwhile.

    Args:
        path: Its file.
        key: See `Identity`.
        site: See `Identity`.

    Raises:
        OSError: /proc cannot be read.
    """
    values = _read(path)
    if not values:
        values = _identities_of_agents(key, site) or (secrets.token_hex(16),)
        _write(path, values)
    return ManagerIdentity(key, values, site)


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
    """The identities of managers that had our name, or our key."""

    def was_ours(tag: EnvTag) -> bool:
        return bool(tag.identity) and (tag.site == site or tag.key == key)

    tags = (process.tag for process in env_tag.find_tagged(was_ours))
    return tuple({tag.identity: None for tag in tags if tag})[:MAX_IDENTITIES]


def _write(path: Path, values: tuple[str, ...]) -> None:
    try:
        replace_file(str(path), "".join(f"{value}\n" for value in values).encode())
    except OSError as error:
        log.warning(
            "%s cannot be written (%s); a restarted manager identifies its agents by their tags",
            *(path, error.strerror),
        )
