"""Which hosts and agents a command line is about, and what to say if it is about none."""

import argparse
import difflib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from hostmanager.cli.exit_codes import CommandError
from hostmanager.cli.text import few
from hostmanager.client.manager_client import in_parallel, managers
from hostmanager.client.site_model import Site
from hostmanager.client.status.model import HostRows, Row, host_rows

_WILD = frozenset("*?[")


def is_pattern(text: str) -> bool:
    """Whether it has wildcards in it."""
    return bool(_WILD & set(text))


def fits(name: str, patterns: Iterable[str] | None) -> bool:
    """Whether a name is one of these, or fits one that is a pattern; all fit no patterns at all."""
    if not patterns:
        return True
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def pick_hosts(site: Site, asked: Sequence[str] | None) -> list[str]:
    """The hosts that `--host` names, in the order of the file.

    Raises:
        CommandError: One of the words fits no host.
    """
    for word in asked or ():
        if not any(fits(name, [word]) for name in site.hosts):
            raise CommandError(
                f"--host {word}: the site config has no such host.{near(word, site.hosts)} "
                f"Its hosts are: {few(list(site.hosts), 20)}."
            )
    return [name for name in site.hosts if fits(name, asked)]


def near(word: str, known: Iterable[str]) -> str:
    """Name what was probably meant: `` Did you mean 'fake1' or 'fake2'?``; or nothing."""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower().strip("*?"), by_lower, n=3, cutoff=0.6)
    if not found:
        return ""
    return f" Did you mean {' or '.join(repr(by_lower[name]) for name in found)}?"


def hosts_of(site: Site, args: argparse.Namespace) -> list[str]:
    """The hosts that have to be asked: if all agents are named outright, only theirs.

    Raises:
        CommandError: `--host` names none.
    """
    hosts = pick_hosts(site, args.host)
    homes: set[str] = set()
    for word in args.pattern:
        home = [name for name in hosts if word in site.hosts[name].entries]
        if is_pattern(word) or not home:
            return hosts
        homes.update(home)
    return [name for name in hosts if name in homes] if homes else hosts


def look(site: Site, args: argparse.Namespace, hosts: Sequence[str]) -> list[HostRows]:
    """Ask the managers of these hosts how their agents are, all at the same time."""
    asked = managers(site, args, hosts)
    answers = in_parallel({host: man.session for host, man in asked.items()}, args.answer_time)
    return [host_rows(site.hosts[host], answers.get(host)) for host in hosts]


def select(found: Sequence[HostRows], args: argparse.Namespace) -> list[Row]:
    """The instances that the command line is about, in the order of the file.

    Raises:
        CommandError: A word fits none of them.
    """
    rows = [row for host in found for row in host.rows]
    for word in args.pattern:
        if not any(fits(row.instance_id, [word]) for row in rows):
            raise CommandError(_no_such_agent(word, found, rows, args))
    for word in args.agent_class or ():
        if not any(_has_class(row, [word]) for row in rows):
            classes = sorted({row.plain_class for row in rows if row.plain_class})
            raise CommandError(
                f"--class {word}: no agent {_where(args)}is of this class.{near(word, classes)} "
                f"The classes are: {few(classes, 20) or 'none'}."
            )
    chosen = [
        row
        for row in rows
        if fits(row.instance_id, args.pattern) and _has_class(row, args.agent_class)
    ]
    if not chosen and rows and (args.pattern or args.agent_class):
        raise CommandError("No agent fits both the names and the classes that were given.")
    return chosen


def _has_class(row: Row, classes: Sequence[str] | None) -> bool:
    return fits(row.plain_class, classes) or fits(row.agent_class, classes)


def _no_such_agent(
    word: str, found: Sequence[HostRows], rows: Sequence[Row], args: argparse.Namespace
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
    mute = [host.host.name for host in found if host.trouble is not None]
    unseen = f" (Hosts that did not answer, so may have more: {few(mute)}.)" if mute else ""
    hint = near(word, (row.instance_id for row in rows))
    what = "no agent fits" if is_pattern(word) else "there is no agent"
    return f"{what} {word!r}{' ' + _where(args).strip() if _where(args) else ''}.{hint}{unseen}"


def _where(args: argparse.Namespace) -> str:
    return f"on {', '.join(args.host)} " if args.host else ""
