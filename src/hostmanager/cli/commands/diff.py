"""`hostmanager diff`: what a reload would do, host by host."""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hostmanager.cli.exit_codes import FAILED, OK, UNREACHABLE
from hostmanager.cli.options import add_common, add_hosts, exit_status_help, new_parser
from hostmanager.cli.output import Output, command
from hostmanager.client.manager_client import FailureKind, ManagerError, run_parallel
from hostmanager.client.multi_host import require_router, select_managers
from hostmanager.client.site_model import SiteHost, read_site
from hostmanager.core.model import InstanceSpec, Kind, Target
from hostmanager.siteconfig.diff import diff_specs

_SUFFIX = re.compile(r"\[(d|d\?|docker)\]$")

DESCRIPTION = """\
Show what a reload of the site config would do on each host: the site config as it is read here,
compared with what each manager knows now. If the hosts have copies of the file, what counts for
them is theirs. Nothing is changed."""

EPILOG = f"""\
marks:
  +   new: it would be tracked, and started unless its entry says down
  -   gone, or ignored now: it would be stopped and forgotten
  ~   other class or kind: what runs would be ended, then the new one started
  *   other settings: it goes on as it is until somebody restarts it
  !   broken: an entry, then its agent would be left as it is; or all of the host

{exit_status_help(done="a reload would change nothing", not_reached="it would change something")}
examples:
  hostmanager diff
  hostmanager diff --host daq1 --site-file new-site.yaml
      what a new version of the file would do to daq1
"""

MARKS = {"add": "+", "stop": "-", "replace": "~", "change": "*", "broken": "!"}
STYLES = {
    "add": "green",
    "stop": "red",
    "replace": "yellow",
    "change": "cyan",
    "broken": "bold red",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that a reload would do.

    Attributes:
        what: ``add``, ``stop``, ``replace``, ``change`` or ``broken``.
        instance_id: To whom.
        text: The same for people.
    """

    what: str
    instance_id: str
    text: str


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(subparsers, "diff", DESCRIPTION, EPILOG)
    add_hosts(parser)
    add_common(parser)


def changes(host: SiteHost, children: Sequence[Mapping[str, Any]]) -> list[Change]:
    """What a reload would do to a host whose manager shows these child states."""
    assert host.file is not None
    broken = [
        Change("broken", problem.instance_id or "", str(problem))
        for problem in host.problems
        if problem.is_error
    ]
    if not host.file.is_usable:
        return broken  # a manager refuses the whole, and leaves all as it is
    wanted = {spec.instance_id: spec for spec in host.file.specs}
    known = {
        spec.instance_id: spec
        for child in children
        if (spec := _known(child, wanted.get(str(child["instance_id"])))) is not None
    }
    found = diff_specs(known, host.file)
    result = [Change("add", spec.instance_id, _added(spec)) for spec in found.added]
    result += [
        Change("stop", name, f"{known[name].agent_class}: would be stopped and forgotten")
        for name in found.removed
    ]
    for spec in found.replaced:
        old = known[spec.instance_id]
        then = f"{spec.agent_class} ({spec.kind})"
        text = f"{old.agent_class} ({old.kind}) would be ended, then {then} started"
        result.append(Change("replace", spec.instance_id, text))
    result += [
        Change("change", spec.instance_id, "other settings: would go on, and need a restart")
        for spec in found.changed
    ]
    return result + broken


def _known(child: Mapping[str, Any], wanted: InstanceSpec | None) -> InstanceSpec | None:
    """What the manager knows of an instance; None if that is no concern of the site config."""
    name, full = str(child["instance_id"]), str(child["agent_class"])
    suffix = _SUFFIX.search(full)
    if suffix and suffix[1] == "docker":
        return None
    kind = Kind.DOCKER if suffix else Kind.HOST
    same = wanted is not None and wanted.kind is kind
    fingerprint = child.get("fingerprint") if kind is Kind.HOST else None
    return InstanceSpec(
        instance_id=name,
        agent_class=_SUFFIX.sub("", full),
        kind=kind,
        # What a manager does not tell is taken to be as it is wanted.
        initial_target=wanted.initial_target if wanted is not None else Target.UP,
        fingerprint=fingerprint or (wanted.fingerprint if wanted is not None and same else ""),
    )


def _added(spec: InstanceSpec) -> str:
    then = "would be started" if spec.initial_target is Target.UP else "would be known, and down"
    return f"{spec.agent_class} ({spec.kind}): {then}"


def diff(args: argparse.Namespace, screen: Output) -> int:
    """Show it."""
    site = read_site(args)
    who = select_managers(site, args)
    answers = run_parallel({h: man.session for h, man in who.managers.items()}, args.answer_time)
    require_router(answers)
    code, hosts = OK, []
    for host in who.hosts:
        answer = answers[host]
        if isinstance(answer, ManagerError):
            screen.line(f"! {host}: {answer}", "red")
            code = max(code, FAILED if answer.kind is FailureKind.REFUSED else UNREACHABLE)
            hosts.append({"host": host, "answers": False, "text": str(answer), "changes": []})
            continue
        found = _of_host(site.hosts[host], answer)
        code = max(code, FAILED if found else OK)
        _show(host, found, screen)
        told = [{"what": c.what, "instance_id": c.instance_id, "text": c.text} for c in found]
        hosts.append({"host": host, "answers": True, "text": "", "changes": told})
    return screen.emit_json(code, site_file=site.path, hosts=hosts)


def _of_host(host: SiteHost, session: Mapping[str, Any]) -> list[Change]:
    """A manager that was told to stop has no agents to speak of; it begins by the file anyway."""
    running = session.get("status") == "running"
    data = (session.get("data") or {}) if running else {}
    return changes(host, data.get("child_states") or [])


def ending(host: SiteHost, session: Mapping[str, Any]) -> list[Change]:
    """The changes that would end an agent which runs, or is to."""
    children = (session.get("data") or {}).get("child_states") or []
    alive = {str(c["instance_id"]) for c in children if c["next_action"] != "down"}
    found = _of_host(host, session)
    return [c for c in found if c.what in ("stop", "replace") and c.instance_id in alive]


def _show(host: str, found: Sequence[Change], screen: Output) -> None:
    if not found:
        screen.line(f"{host}: no change")
        return
    screen.line(f"{host}:", "bold")
    for change in found:
        name = f"{change.instance_id} " if change.what != "broken" else ""
        screen.line(f"  {MARKS[change.what]} {name}{change.text}", STYLES[change.what])


run = command(diff)
