"""The site config, as clients read it: hosts, their managers, their entries, the router.

Read by our own reader, so that one broken entry costs that entry, and handed to OCS as its
own `SiteConfig`, from which OCS's client finds router and addresses.
"""

import argparse
import copy
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocs.site_config import SiteConfig

from hostmanager.client import site_copy
from hostmanager.client.errors import ClientError
from hostmanager.core.model import InstanceSpec
from hostmanager.siteconfig.command_line import UsageError, resolve_site_file
from hostmanager.siteconfig.diagnostics import Diagnostic, SiteFileError
from hostmanager.siteconfig.entry import MANAGER_CLASS
from hostmanager.siteconfig.host_block import OVERRIDES
from hostmanager.siteconfig.site_file import FALLBACK_HOST, SiteFile, load_all_hosts

UNREADABLE_HINT = (
    "\nAgents and managers continue with what they have read before. Until the file is fixed, "
    "use --site-file with an older copy of it."
)


@dataclass(frozen=True, slots=True)
class SiteEntry:
    """The entry of one agent.

    Attributes:
        instance_id: Its id.
        agent_class: Its class; empty if the entry is broken.
        spec: The spec made of it; None if it is ignored or broken.
        broken: Whether the entry cannot be used.
    """

    instance_id: str
    agent_class: str = ""
    spec: InstanceSpec | None = None
    broken: bool = False

    @property
    def manage(self) -> str | None:
        """The value of `manage`; None if the entry is broken."""
        if self.spec is not None:
            return f"{self.spec.kind}/{self.spec.initial_target}"
        return None if self.broken else "ignore"


@dataclass(frozen=True, slots=True)
class SiteHost:
    """One host of the site config.

    Attributes:
        name: Its key under `hosts`.
        manager: The instance-id of its manager; None if it has none.
        entries: Its instances but managers, by id, in the order of the file.
        problems: What is wrong with its block.
        file: The specs of its agents.
    """

    name: str
    manager: str | None
    entries: Mapping[str, SiteEntry]
    problems: tuple[Diagnostic, ...] = ()
    file: SiteFile | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Site:
    """The site.

    Attributes:
        path: The file.
        config: The same for OCS's clients, with the options of the command line.
        hosts: By name, in the order of the file.
        notice: Why an earlier copy of the file stands in for it, for people; empty: it does not.
    """

    path: str
    config: SiteConfig = field(repr=False)
    hosts: Mapping[str, SiteHost] = field(default_factory=dict)
    notice: str = ""

    @property
    def managers(self) -> dict[str, str]:
        """The id of the manager of each host that has one."""
        return {name: host.manager for name, host in self.hosts.items() if host.manager}

    @property
    def router(self) -> str:
        """The address of the router's HTTP bridge."""
        return str(self.config.hub.data["wamp_http"])


def read_site(
    args: argparse.Namespace,
    environ: Mapping[str, str] | None = None,
    *,
    or_copy: bool = False,
) -> Site:
    """Read the site config that the options name.

    Args:
        args: The options.
        environ: The environment.
        or_copy: Whether the last copy that could be used stands in for a file that cannot be.

    Raises:
        ClientError: There is none that can be used.
    """
    environ = os.environ if environ is None else environ
    notice = ""
    try:
        path = resolve_site_file(args, environ)
        try:
            files = load_all_hosts(path)
            site_copy.keep_copy(path, environ)
        except SiteFileError as error:
            copied = _load_copy(path, environ) if or_copy else None
            if copied is None:
                raise
            files = copied
            notice = site_copy.copy_notice(site_copy.copy_path(path, environ), error)
    except UsageError as error:
        raise ClientError(str(error).replace("the manager cannot", "this command cannot")) from None
    except SiteFileError as error:
        hint = UNREADABLE_HINT if Path(path).is_file() else ""
        raise ClientError(f"{error}{hint}") from None
    if not files:
        raise ClientError(f"{path}: there is no host under 'hosts'.")
    config = _config(args, next(iter(files.values())).data)
    if not config.hub.data.get("wamp_http"):
        raise ClientError(
            f"{path}: 'hub' has no 'wamp_http', so no client can reach the router. Add "
            "'wamp_http: http://ROUTER:8001/call' to it, or use --site-http URL."
        )
    hosts = {name: _host(name, file) for name, file in files.items()}
    return Site(str(path), config, hosts, notice)


def _load_copy(path: Path, environ: Mapping[str, str]) -> dict[str, SiteFile] | None:
    if not path.is_file():
        return None  # a name that is mistyped is no file that is broken
    try:
        return load_all_hosts(site_copy.copy_path(path, environ))
    except (SiteFileError, OSError):
        return None


def _config(args: argparse.Namespace, data: dict[str, Any]) -> SiteConfig:
    """Give OCS's own form of the site, by the rules of `ocs.site_config.get_config`."""
    config = SiteConfig.from_dict(copy.deepcopy(data))
    hub = config.hub.data
    for name in (args.site_host or socket.gethostname(), FALLBACK_HOST):
        if name in config.hosts:
            block = config.hosts[name].data
            hub.update({key: block[key] for key in OVERRIDES if key in block})
            break
    options = {
        "wamp_server": args.site_hub,
        "wamp_http": args.site_http,
        "wamp_realm": args.site_realm,
        "address_root": args.address_root,
    }
    hub.update({key: value for key, value in options.items() if value is not None})
    return config


def _host(name: str, file: SiteFile) -> SiteHost:
    block = file.data["hosts"].get(name, {"agent-instances": []})
    specs = {spec.instance_id: spec for spec in file.specs}
    entries: dict[str, SiteEntry] = {}
    managers: list[str] = []
    for data in block["agent-instances"]:
        instance_id, agent_class = data["instance-id"], data["agent-class"]
        if agent_class == MANAGER_CLASS:
            managers.append(instance_id)
        else:
            entries[instance_id] = SiteEntry(instance_id, agent_class, specs.get(instance_id))
    for instance_id in sorted(file.broken_ids):
        entries[instance_id] = SiteEntry(instance_id, broken=True)
    usual = f"hm-{name}"
    manager = usual if usual in managers else next(iter(managers), None)
    return SiteHost(name, manager, entries, file.diagnostics, file)
