"""Checking agents: that their class is installed, and that its own parser takes the arguments."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

from hostmanager.cli.check.report import Category, CheckReport
from hostmanager.core.model import Kind
from hostmanager.siteconfig.diagnostics import Severity, SourceLocation
from hostmanager.siteconfig.full_check import CheckedEntry, CheckedSite
from hostmanager.siteconfig.plugins.argument_probe import ArgumentProbe, ArgumentVerdict, Argv
from hostmanager.siteconfig.plugins.installed_classes import (
    InstalledClasses,
    finish_class_probe,
    start_class_probe,
)
from hostmanager.siteconfig.spelling import WARNING_SIMILARITY
from hostmanager.util.text import closest_match, did_you_mean, join_names, pluralize, quote_value

_ARGUMENT = re.compile(r"argument (\S+?):")
_UNKNOWN = "unrecognized arguments: "

CLASS_HINT = "Fix the class name, or install the plugin."

INSTALL_HINT = "Install what is missing."

TLS_HINT = "Install it: pip install 'twisted[tls]'."


class InstalledPlugins:
    """What is installed here: looked up in child processes that are started early."""

    def __init__(self, cwd: str | None = None) -> None:
        self._classes: InstalledClasses | None = None
        self._class_probe: subprocess.Popen[bytes] | None = None
        try:
            self._class_probe = start_class_probe(sys.executable, cwd)
        except OSError as error:
            self._classes = InstalledClasses(None, (f"{cwd or sys.executable}: {error.strerror}.",))
        self._cwd = cwd
        self._argument_probe: ArgumentProbe | None = ArgumentProbe(cwd=cwd)

    @property
    def classes(self) -> InstalledClasses:
        """The classes that are installed. Blocks."""
        if self._classes is None and self._class_probe is not None:
            self._classes = finish_class_probe(self._class_probe)
        return self._classes or InstalledClasses()

    def probe_arguments(self, cases: Mapping[str, Sequence[Argv]]) -> dict[str, ArgumentVerdict]:
        """Ask the parsers of these classes. Blocks."""
        asking, self._argument_probe = self._argument_probe or ArgumentProbe(cwd=self._cwd), None
        return asking.run(cases, self.classes.classes or {})

    def close(self) -> None:
        """Leave nothing running."""
        if self._argument_probe is not None:
            self._argument_probe.close()
        if self._classes is None and self._class_probe is not None:
            self._classes = finish_class_probe(self._class_probe, 0.0)


def check_agents(
    site: CheckedSite, plugins: InstalledPlugins, here: str | None, report: CheckReport
) -> None:
    """Check class and arguments of all agents.

    Args:
        site: The site file.
        plugins: What is installed here.
        here: The host that this machine is, if it is one of them: what is missing here is an
            error for its agents. Other hosts may have other plugins.
        report: Gets what is wrong.
    """
    agents = [i for i in site.instances if not i.is_manager]
    known = plugins.classes
    if known.classes is None:
        report.skipped.append(f"classes and arguments of agents: {' '.join(known.problems)}")
        return
    if here is not None:
        for text in known.problems:
            report.add(Category.CLASS, Severity.WARNING, None, text, host=here)
    _check_classes(agents, known.classes, here, report)
    cases: dict[str, list[CheckedEntry]] = {}
    for agent in agents:
        cases.setdefault(agent.entry.agent_class, []).append(agent)
    answers = plugins.probe_arguments(
        {name: [_argv(one) for one in ones] for name, ones in cases.items()}
    )
    causes: dict[str, dict[str, ArgumentVerdict]] = {}
    for name, answer in answers.items():
        if answer.unknown_reason is None:
            _report_verdict(name, cases[name], answer, report)
        else:
            causes.setdefault(answer.import_error or answer.unknown_reason, {})[name] = answer
    for cause, found in causes.items():
        _report_unknown(cause, found, cases, here, report)


def _argv(agent: CheckedEntry) -> Argv:
    return tuple(word for word, _ in agent.argv)


def _runs_here(agent: CheckedEntry, here: str | None) -> bool:
    management = agent.entry.managed_as
    return agent.host == here and management is not None and management[0] is Kind.HOST


def _check_classes(
    agents: Sequence[CheckedEntry],
    classes: Mapping[str, str],
    here: str | None,
    report: CheckReport,
) -> None:
    used = Counter(agent.entry.agent_class for agent in agents)
    usual = [name for name, number in used.items() if number > 2]
    absent: Counter[str] = Counter()
    missing: list[CheckedEntry] = []
    for agent in agents:
        name = agent.entry.agent_class
        if name in classes:
            continue
        suggestion = closest_match(
            name, [other for other in (*classes, *usual) if other != name], WARNING_SIMILARITY
        )
        must = _runs_here(agent, here)
        if not must and (suggestion is None or name in usual):
            absent[name] += 1
            continue
        if must and suggestion is None:
            missing.append(agent)
            continue
        hint = f"Did you mean {suggestion!r}? " if suggestion else ""
        report.add(
            Category.CLASS,
            Severity.ERROR if must else Severity.WARNING,
            agent.entry.class_location,
            f"no installed OCS plugin provides the agent class {quote_value(name)}.",
            f"{hint}{CLASS_HINT}",
            host=agent.host,
            instance_id=agent.name,
        )
    if missing:
        of_one = f"no installed OCS plugin provides the agent class {_class_names(missing)}."
        number = pluralize(len(missing), "agent")
        of_many = f"no installed OCS plugin provides the classes of {number}: {_agents_by_class(missing)}."
        _report_shared(missing, of_one, of_many, CLASS_HINT, report)
    if absent:
        number = pluralize(absent.total(), "agent")
        report.skipped.append(
            f"{number} of classes that no plugin here provides: {join_names(sorted(absent), 12)}"
        )


def _report_unknown(
    cause: str,
    found: Mapping[str, ArgumentVerdict],
    cases: Mapping[str, Sequence[CheckedEntry]],
    here: str | None,
    report: CheckReport,
) -> None:
    """Tell once what keeps agents of these classes from being asked, however many they are."""
    agents = [agent for name in found for agent in cases[name]]
    one = next(iter(found.values()))
    ours = [] if one.is_importable else [agent for agent in agents if _runs_here(agent, here)]
    if ours:
        of_one = f"the agent class {_class_names(ours)} cannot be started: {one.unknown_reason}."
        number = pluralize(len(ours), "agent")
        of_many = f"{number} cannot be started: {cause}. They are {_agents_by_class(ours)}."
        hint = TLS_HINT if "No module named 'OpenSSL" in cause else INSTALL_HINT
        _report_shared(ours, of_one, of_many, hint, report)
        return
    alone = len(found) == 1
    names = f"class {next(iter(found))}" if alone else f"classes {join_names(list(found), 12)}"
    number = pluralize(len(agents), "agent")
    report.skipped.append(
        f"arguments of {number} of {names}: {one.unknown_reason if alone else cause}"
    )


def _class_names(agents: Sequence[CheckedEntry]) -> str:
    return join_names(
        list(dict.fromkeys(quote_value(agent.entry.agent_class) for agent in agents)), 12
    )


def _agents_by_class(agents: Sequence[CheckedEntry]) -> str:
    """These agents, with their classes."""
    by_class: dict[str, list[str]] = {}
    for agent in agents:
        by_class.setdefault(agent.entry.agent_class, []).append(agent.name)
    told = [f"{', '.join(names)} ({kind})" for kind, names in by_class.items()]
    return join_names(told, 12)


def _report_shared(
    agents: Sequence[CheckedEntry], of_one: str, of_many: str, hint: str, report: CheckReport
) -> None:
    """One error for all that one act puts right; at the first of the agents."""
    first = agents[0]
    report.add(
        Category.CLASS,
        Severity.ERROR,
        first.entry.class_location,
        of_one if len(agents) == 1 else of_many,
        hint,
        host=first.host,
        instance_id=first.name if len(agents) == 1 else None,
    )


def _report_verdict(
    name: str, agents: Sequence[CheckedEntry], answer: ArgumentVerdict, report: CheckReport
) -> None:
    for agent, why in zip(agents, answer.rejections, strict=False):
        if why is not None:
            location, hint = locate_argument(agent, why, answer.options)
            report.add(
                Category.ARGUMENTS,
                Severity.ERROR,
                location,
                f"{name} refuses its arguments: {why.rstrip('.')}.",
                hint,
                host=agent.host,
                instance_id=agent.name,
            )


def locate_argument(
    agent: CheckedEntry, why: str, options: Sequence[str]
) -> tuple[SourceLocation, str]:
    """Find the word that a parser's complaint is about, and what would be right.

    Args:
        agent: Whose arguments they are.
        why: What argparse said.
        options: What the parser knows.
    """
    if why.startswith(_UNKNOWN):
        for text in why.removeprefix(_UNKNOWN).split():
            for word, location in agent.argv:
                if word == text:
                    name = word.partition("=")[0]
                    return location, did_you_mean(name, options) if name.startswith("-") else ""
    if named := _ARGUMENT.match(why):
        names = named[1].split("/")
        quoted = re.search(r"(?:value|choice): '([^']*)'", why)
        at = [
            i for i, (word, _) in enumerate(agent.argv) if _is_option(word.partition("=")[0], names)
        ]
        if at:
            after = agent.argv[at[-1] : at[-1] + 8]
            wanted = quoted[1] if quoted else None
            return next((p for word, p in after if word == wanted), after[0][1]), ""
    return agent.arguments_location, ""


def _is_option(word: str, names: Sequence[str]) -> bool:
    """Whether a word is one of these options; argparse takes their beginnings, too."""
    return word in names or (
        word.startswith("--") and len(word) > 2 and any(name.startswith(word) for name in names)
    )
