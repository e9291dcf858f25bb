"""Which hosts and agents a command line is about, and what to say if it is about none."""

import argparse
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from hostmanager.cli.exit_codes import CommandError
from hostmanager.client.manager_client import make_clients, run_parallel
from hostmanager.client.site_model import Site
from hostmanager.client.status.model import AgentStatus, HostStatus, build_host_status
from hostmanager.util.text import did_you_mean, join_names

_WILD = frozenset("*?[")


def is_pattern(text: str) -> bool:
    """Whether it has wildcards in it."""
    return bool(_WILD & set(text))


def matches(name: str, patterns: Iterable[str] | None) -> bool:
    """Whether a name is one of these, or fits one that is a pattern; all fit no patterns at all."""
    if not patterns:
        return True
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def select_hosts(site: Site, asked: Sequence[str] | None) -> list[str]:
    """The hosts that `--host` names, in the order of the file.

    Raises:
        CommandError: One of the words fits no host.
    """
    for word in asked or ():
        if not any(matches(name, [word]) for name in site.hosts):
            raise CommandError(
                f"--host {word}: the site config has no such host.{suggestions(word, site.hosts)} "
                f"Its hosts are: {join_names(list(site.hosts), 20)}."
            )
    return [name for name in site.hosts if matches(name, asked)]


def suggestions(word: str, known: Iterable[str]) -> str:
    """Name what was probably meant: `` Did you mean 'fake1' or 'fake2'?``; or nothing."""
    hint = did_you_mean(word.strip("*?"), known, limit=3)
    return f" {hint}" if hint else ""


def hosts_to_query(site: Site, args: argparse.Namespace) -> list[str]:
    """The hosts that have to be asked: if all agents are named outright, only theirs.

    Raises:
        CommandError: `--host` names none.
    """
    hosts = select_hosts(site, args.host)
    homes: set[str] = set()
    for word in args.pattern:
        home = [name for name in hosts if word in site.hosts[name].entries]
        if is_pattern(word) or not home:
            return hosts
        homes.update(home)
    return [name for name in hosts if name in homes] if homes else hosts


def fetch_status(site: Site, args: argparse.Namespace, hosts: Sequence[str]) -> list[HostStatus]:
    """Ask the managers of these hosts how their agents are, all at the same time."""
    asked = make_clients(site, args, hosts)
    answers = run_parallel({host: man.session for host, man in asked.items()}, args.answer_time)
    return [build_host_status(site.hosts[host], answers.get(host)) for host in hosts]


def select(found: Sequence[HostStatus], args: argparse.Namespace) -> list[AgentStatus]:
    """The instances that the command line is about, in the order of the file.

    Raises:
        CommandError: A word fits none of them.
    """
    rows = [row for host in found for row in host.agents]
    for word in args.pattern:
        if not any(matches(row.instance_id, [word]) for row in rows):
            raise CommandError(_no_such_agent(word, found, rows, args))
    for word in args.agent_class or ():
        if not any(_has_class(row, [word]) for row in rows):
            classes = sorted({row.short_class for row in rows if row.short_class})
            raise CommandError(
                f"--class {word}: no agent {_where(args)}is of this class.{suggestions(word, classes)} "
                f"The classes are: {join_names(classes, 20) or 'none'}."
            )
    chosen = [
        row
        for row in rows
        if matches(row.instance_id, args.pattern) and _has_class(row, args.agent_class)
    ]
    if not chosen and rows and (args.pattern or args.agent_class):
        raise CommandError("No agent fits both the names and the classes that were given.")
    return chosen


def _has_class(row: AgentStatus, classes: Sequence[str] | None) -> bool:
    return matches(row.short_class, classes) or matches(row.agent_class, classes)


def _no_such_agent(
    word: str, found: Sequence[HostStatus], rows: Sequence[AgentStatus], args: argparse.Namespace
) -> str:
    for host in found:
        if host.host.manager == word:
            return (
                f"{word} is the manager of host {host.host.name}, not one of its agents. "
                f"Use --host {host.host.name} for all of its agents."
            )
        if host.host.name == word and not args.host:
            return f"{word} is a host. Use --host {word} for all of its agents."
    if not is_pattern(word) and any(_has_class(row, [word]) for row in rows):
        return f"{word} is a class of agents. Use --class {word} for all of them."
    mute = [host.host.name for host in found if host.error is not None]
    unseen = f" (Hosts that did not answer, so may have more: {join_names(mute)}.)" if mute else ""
    hint = suggestions(word, (row.instance_id for row in rows))
    what = "no agent fits" if is_pattern(word) else "there is no agent"
    return f"{what} {word!r}{' ' + _where(args).strip() if _where(args) else ''}.{hint}{unseen}"


def _where(args: argparse.Namespace) -> str:
    return f"on {', '.join(args.host)} " if args.host else ""
