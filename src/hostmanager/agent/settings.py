"""The settings of a manager: what its command line and the site config amount to, checked."""

import argparse
import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from hostmanager.agent.directories import (
    output_dir,
    root_path_warnings,
    state_dir,
    volatile_state_warnings,
)
from hostmanager.agent.options import access_warnings, compose_bin, compose_files, policy_of
from hostmanager.core.policy import Policy
from hostmanager.siteconfig.site_file import SiteFile


@dataclass(frozen=True, slots=True)
class ManagerSettings:
    """What the rest of the package works with.

    Attributes:
        site_file: The site config file.
        host: Key of this host in it.
        working_dir: Where agents are started.
        state_dir: Where the manager keeps what outlives it.
        output_dir: Where the output of agents goes.
        output_size: Largest size of an output file, in bytes.
        output_files: Old output files that are kept for each instance.
        key: Digest of address, realm and router, by which earlier versions know their agents: no
            two managers of one key run at a time.
        policy: The rules in numbers.
        python: The interpreter that runs the agents.
        min_privs: Credential level of a client that may change anything.
        compose_files: The compose files to manage, as they were given.
        compose_bin: The compose command to use; None: the one that is found.
        service_prefix: What goes before an instance-id in a compose service's name.
        router: Where the router is: the address of its web socket.
        site_key: Digest of address and site config: no two managers of one run at a time, either.
        warm_launch: Whether agents are forked from a process that has imported OCS already.
    """

    site_file: Path
    host: str
    working_dir: Path
    state_dir: Path
    output_dir: Path
    output_size: int
    output_files: int
    key: str
    policy: Policy
    python: str
    min_privs: int = 1
    compose_files: tuple[str, ...] = ()
    compose_bin: Path | None = None
    service_prefix: str = "ocs-"
    site_key: str = ""
    router: str = ""
    warm_launch: bool = False


def make_settings(
    args: argparse.Namespace, site_config: SiteFile
) -> tuple[ManagerSettings, list[str]]:
    """Check what the command line and the site config say, and find the directories.

    Returns:
        The settings, and warnings for people.

    Raises:
        ValueError: An option cannot be right; the text names it.
        DirectoryError: The state directory cannot be used.
    """
    site_file = Path(site_config.path)
    working_dir = Path(args.working_dir or ".").absolute()
    files, warnings = compose_files(args, working_dir)
    key = site_key(args, site_file)
    address = f"{args.address_root}.{args.instance_id}"
    state = state_dir(args.state_dir, address, key, os.environ, str(site_file.absolute()))
    output, warning = output_dir(args.log_dir, working_dir, state)
    warnings += [warning] if warning else []
    warnings += [*volatile_state_warnings(state, os.environ), *access_warnings(args)]
    decisive = {"the working directory": working_dir, "the site config": site_file}
    compose = {f"the compose file {name}, at": working_dir / name for name in files}
    warnings += root_path_warnings({**decisive, **compose})
    settings = ManagerSettings(
        site_file=site_file,
        host=site_config.host,
        working_dir=working_dir,
        state_dir=state,
        output_dir=output,
        output_size=args.output_size,
        output_files=args.output_files,
        key=_digest(args, args.site_realm, args.site_hub),
        site_key=key,
        policy=policy_of(args),
        python=sys.executable,
        min_privs=args.min_privs,
        compose_files=tuple(files),
        compose_bin=compose_bin(args, working_dir),
        service_prefix=args.docker_service_prefix,
        router=args.site_hub or "",
        warm_launch=args.warm_launch == "auto",
    )
    return settings, warnings


def site_key(args: argparse.Namespace, site_file: Path) -> str:
    """Identify a manager by what it manages: its address, and the real path of the site config.

    (`ManagerSettings.key`, by address, realm and router, is how earlier versions know agents.)
    """
    return _digest(args, str(os.path.realpath(site_file)))


def _digest(args: argparse.Namespace, *parts: str) -> str:
    text = "\n".join((args.address_root, args.instance_id, *parts))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
