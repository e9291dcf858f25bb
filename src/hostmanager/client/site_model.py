"""The whole site as its config says it: hosts, their managers, their entries, the router.

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

from hostmanager.cli.exit_codes import CommandError
from hostmanager.core.model import InstanceSpec
from hostmanager.siteconfig.command_line import UsageError, resolve_site_file
from hostmanager.siteconfig.diagnostics import Diagnostic, SiteFileError
from hostmanager.siteconfig.entry import MANAGER_CLASS
from hostmanager.siteconfig.host_block import OVERRIDES
from hostmanager.siteconfig.site_file import FALLBACK_HOST, SiteFile, load_all_hosts

BROKEN = (
    "\nAgents and managers go on with what they have read before. Until the file is mended, "
    "--site-file with an older copy of it will do."
)
"""What somebody in a hurry has to know when the file cannot be read."""


@dataclass(frozen=True, slots=True)
class SiteEntry:
    """What the site config, as read here, says of one instance.

    Attributes:
        instance_id: Its id.
        agent_class: Its class; empty if the entry is broken.
        spec: What its manager is to do with it; None if it is ignored or broken.
        broken: Whether the entry cannot be used.
    """

    instance_id: str
    agent_class: str = ""
    spec: InstanceSpec | None = None
    broken: bool = False

    @property
    def manage(self) -> str | None:
        """The word of `manage`; None if the entry is broken."""
        if self.spec is not None:
            return f"{self.spec.kind}/{self.spec.initial_target}"
        return None if self.broken else "ignore"


@dataclass(frozen=True, slots=True)
class SiteHost:
    """What it says of one host.

    Attributes:
        name: Its key under `hosts`.
        manager: The instance-id of its manager; None if it has none.
        entries: Its instances but managers, by id, in the order of the file.
        problems: What is wrong with its block.
        file: What is wanted there.
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
        config: The same for OCS's clients, with what the command line says in it.
        hosts: By name, in the order of the file.
    """

    path: str
    config: SiteConfig = field(repr=False)
    hosts: Mapping[str, SiteHost] = field(default_factory=dict)

    @property
    def managers(self) -> dict[str, str]:
        """The id of the manager of each host that has one."""
        return {name: host.manager for name, host in self.hosts.items() if host.manager}

    @property
    def router(self) -> str:
        """Where the HTTP bridge of the router is."""
        return str(self.config.hub.data["wamp_http"])


def read_site(args: argparse.Namespace, environ: Mapping[str, str] | None = None) -> Site:
    """Read the site config that the options name.

    Raises:
        CommandError: There is none that could be used.
    """
    try:
        path = resolve_site_file(args, os.environ if environ is None else environ)
        files = load_all_hosts(path)
    except UsageError as error:
        raise CommandError(
            str(error).replace("the manager cannot", "this command cannot")
        ) from None
    except SiteFileError as error:
        hint = BROKEN if Path(path).is_file() else ""
        raise CommandError(f"{error}{hint}") from None
    if not files:
        raise CommandError(f"{path}: there is no host under 'hosts'.")
    config = _config(args, next(iter(files.values())).data)
    if not config.hub.data.get("wamp_http"):
        raise CommandError(
            f"{path}: 'hub' has no 'wamp_http', so no client can reach the router. Add "
            "'wamp_http: http://ROUTER:8001/call' to it, or use --site-http URL."
        )
    return Site(str(path), config, {name: _host(name, file) for name, file in files.items()})


def _config(args: argparse.Namespace, data: dict[str, Any]) -> SiteConfig:
    """Give OCS's own form of the site, by the rules of `ocs.site_config.get_config`."""
    config = SiteConfig.from_dict(copy.deepcopy(data))
    hub = config.hub.data
    for name in (args.site_host or socket.gethostname(), FALLBACK_HOST):
        if name in config.hosts:
            block = config.hosts[name].data
            hub.update({key: block[key] for key in OVERRIDES if key in block})
            break
    given = {
        "wamp_server": args.site_hub,
        "wamp_http": args.site_http,
        "wamp_realm": args.site_realm,
        "address_root": args.address_root,
    }
    hub.update({key: value for key, value in given.items() if value is not None})
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
