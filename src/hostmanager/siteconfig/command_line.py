"""The command line of an agent, completed from the site config.

It does for the manager what `ocs.site_config.parse_args` does for every agent, with the same
functions, but on checked data, so that the broken entry of another agent is no traceback here.
From strongest to weakest: command line, environment (as `ocs-agent-cli` reads it), `arguments`
of the instance in the site config, host block, hub. Nothing is printed (except for `--help`):
a mistake of the user is raised as `UsageError` or `SiteFileError`.
"""

import argparse
import copy
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ocs.site_config import ArgContainer, SiteConfig, add_arguments, add_site_attributes

from hostmanager.siteconfig.entry import MANAGER_CLASS
from hostmanager.siteconfig.host_block import OVERRIDES
from hostmanager.siteconfig.site_file import SiteFile, load_site_file
from hostmanager.util.help_parser import HelpParser
from hostmanager.util.names import id_problem
from hostmanager.util.text import did_you_mean, join_names, quote_value

ENVIRONMENT: Mapping[str, str] = {
    "instance_id": "INSTANCE_ID",
    "site_hub": "SITE_HUB",
    "site_http": "SITE_HTTP",
    "site_host": "SITE_HOST",
    "crossbar_timeout": "CROSSBAR_TIMEOUT",
}
"""Options that an environment variable can give (contract, section 2)."""

_HELP = ("-h", "--help", "--help-site")


class UsageError(Exception):
    """The command line, or its combination with the site config, is wrong; the text says why."""


def _raise_errors(parser: argparse.ArgumentParser, hint: str = "") -> argparse.ArgumentParser:
    """Have a parser raise where the usual one prints and exits."""

    def error(message: str) -> NoReturn:
        raise UsageError(f"{message}.{hint}")

    parser.error = error  # type: ignore[method-assign]
    return parser


def resolve_site_file(args: argparse.Namespace, environ: Mapping[str, str]) -> Path:
    """Find the site config, by the rules of `ocs.site_config.get_config`; it is not opened.

    Args:
        args: Has `site` and `site_file`.
        environ: `OCS_CONFIG_DIR` counts when there is no `--site-file`.

    Returns:
        An absolute path.

    Raises:
        UsageError: The options contradict each other, or no option or variable gives it.
    """
    if args.site == "none":
        raise UsageError(
            "--site none: the manager cannot work without a site config. "
            "Use --site-file FILE, or set OCS_CONFIG_DIR."
        )
    if args.site_file is not None:
        if args.site is not None:
            raise UsageError("--site and --site-file are both given. Use one of the two.")
        if not args.site_file:
            raise UsageError("--site-file is empty. Name the YAML file.")
        return Path(args.site_file).absolute()
    directory = environ.get("OCS_CONFIG_DIR")
    if not directory:
        raise UsageError(
            "no site config is given. Use --site-file FILE, or set OCS_CONFIG_DIR "
            "to the directory that contains default.yaml."
        )
    return (Path(directory) / f"{args.site or 'default'}.yaml").absolute()


def parse_agent_args(
    parser: argparse.ArgumentParser,
    argv: Sequence[str],
    environ: Mapping[str, str],
    agent_class: str = MANAGER_CLASS,
    read: Callable[[Path, str], SiteFile] = load_site_file,
) -> tuple[argparse.Namespace, SiteFile]:
    """Parse an agent's command line, completed from the environment and the site config.

    Args:
        parser: Has the options of the agent itself, not those of the site; it is not changed.
        argv: The command line, without the program's name.
        environ: The environment.
        agent_class: The class of the entry to use.
        read: Reads the site config, for a host.

    Returns:
        The options, as `ocs.site_config.parse_args` gives them, with `site_file` absolute
        and `site_host` the selected host key; and the site config.

    Raises:
        UsageError: The command line is wrong, or no single entry fits.
        SiteFileError: The site config cannot be used.
        SystemExit: After the help was printed.
    """
    complete = copy.deepcopy(parser)
    if isinstance(complete, HelpParser):
        complete.add_site_options(add_arguments)
    else:
        add_arguments(complete)
    if any(word in argv for word in _HELP):
        complete.parse_args(list(argv))
    given = _with_environment(_join_values(argv), environ)
    _refuse_unknown(complete, given)  # before anything is said about the site config
    options = _pre_parse(given)
    site_file = read(resolve_site_file(options, environ), options.site_host or socket.gethostname())
    entry = _manager_entry(site_file, options.instance_id, agent_class)
    args = _parse(complete, given, entry, site_file)
    _add_site(args, site_file)
    args.site_file = str(site_file.path)
    args.site_host = site_file.host
    if not hasattr(args, "agent_class"):
        args.agent_class = agent_class
    return args, site_file


def _pre_parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = _raise_errors(argparse.ArgumentParser(add_help=False))
    add_arguments(parser)
    return parser.parse_known_args(list(argv))[0]


def _refuse_unknown(parser: argparse.ArgumentParser, given: list[str]) -> None:
    left = _raise_errors(parser, " See --help.").parse_known_args(given)[1]
    unknown = [word for word in left if word.startswith("-")]
    if unknown:
        names = [name for action in parser._actions for name in action.option_strings]
        suggestion = did_you_mean(unknown[0].partition("=")[0], names)
        text = f"there is no option {quote_value(unknown[0])}. {suggestion}".rstrip()
        raise UsageError(f"{text} See --help.")


def _join_values(argv: Sequence[str]) -> list[str]:
    """Join an option with a value that is empty or only dashes: OCS cannot take it alone."""
    words: list[str] = []
    for word in argv:
        if word.strip("-"):
            words.append(word)
        elif words and words[-1].startswith("--") and "=" not in words[-1]:
            words[-1] += f"={word}"
        else:
            raise UsageError(f"{quote_value(word)} does not belong to an option.")
    return words


def _with_environment(argv: list[str], environ: Mapping[str, str]) -> list[str]:
    on_command_line = vars(_pre_parse(argv))
    for name, variable in ENVIRONMENT.items():
        value = environ.get(variable)
        if value and on_command_line[name] is None:
            argv = [*argv, f"--{name.replace('_', '-')}={value}"]
    return argv


def _manager_entry(
    site_file: SiteFile, instance_id: str | None, agent_class: str
) -> dict[str, Any]:
    entries: list[dict[str, Any]] = site_file.data["hosts"][site_file.host]["agent-instances"]
    where = f"host {quote_value(site_file.host)} in {site_file.path}"
    if instance_id is not None:
        return _named_entry(site_file, entries, instance_id, agent_class, where)
    fitting = [entry for entry in entries if entry["agent-class"] == agent_class]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = join_names([entry["instance-id"] for entry in fitting], quote=True)
        raise UsageError(
            f"{where} has {len(fitting)} instances of class {agent_class}: {names}. "
            "Use --instance-id to pick one."
        )
    raise UsageError(
        f"{where} has no instance of class {agent_class}. Add '- instance-id: hm-"
        f"{site_file.host}' with 'agent-class: {agent_class}' to its agent-instances."
        + "".join(f"\n{problem}" for problem in site_file.errors)
    )


def _named_entry(
    site_file: SiteFile,
    entries: list[dict[str, Any]],
    instance_id: str,
    agent_class: str,
    where: str,
) -> dict[str, Any]:
    for entry in entries:
        if entry["instance-id"] == instance_id and instance_id not in site_file.broken_ids:
            if entry["agent-class"] == agent_class:
                return entry
            raise UsageError(
                f"--instance-id {instance_id}: in {where} this is an instance of class "
                f"{entry['agent-class']}, not {agent_class}."
            )
    if instance_id in site_file.broken_ids:
        broken = [error for error in site_file.errors if error.instance_id in (instance_id, None)]
        text = "\n".join(str(problem) for problem in broken)
        raise UsageError(f"--instance-id {instance_id}: its entry is broken.\n{text}")
    if problem := id_problem(instance_id):
        raise UsageError(f"--instance-id {instance_id}: the id {problem[0]}. {problem[1]}")
    names = [entry["instance-id"] for entry in entries]
    suggestion = f" {hint}" if (hint := did_you_mean(instance_id, names)) else ""
    of_class = [entry["instance-id"] for entry in entries if entry["agent-class"] == agent_class]
    raise UsageError(
        f"--instance-id {instance_id}: {where} has no such instance.{suggestion} "
        f"Instances of class {agent_class} there: {join_names(of_class, quote=True) or 'none'}."
    )


def _parse(
    parser: argparse.ArgumentParser,
    given: list[str],
    entry: dict[str, Any],
    site_file: SiteFile,
) -> argparse.Namespace:
    """Parse the entry's arguments and the command line together; the command line wins."""
    arguments = [*entry.get("arguments", []), "--instance-id", entry["instance-id"]]
    source = f"{site_file.path}: 'arguments' of {entry['instance-id']}"
    if any(word in arguments for word in _HELP):
        raise UsageError(f"{source} contain a request for help. Delete that argument.")
    words = ArgContainer(arguments)
    words.update(ArgContainer(given))
    hint = f" (Read from the command line and from {source}.)"
    return _raise_errors(parser, hint).parse_args(words.to_list())


def _add_site(args: argparse.Namespace, site_file: SiteFile) -> None:
    """Set what is still unset from the host block and the hub."""
    site = SiteConfig.from_dict(copy.deepcopy(site_file.data))
    site.source_file = os.fspath(site_file.path)
    host = site.hosts[site_file.host]
    site.hub.data.update({key: host.data[key] for key in OVERRIDES if key in host.data})
    add_site_attributes(args, site, host=host)
