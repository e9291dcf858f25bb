"""Checking agents: whether their class is installed, and its own parser accepts the arguments."""

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hostmanager.cli.check.report import Category, CheckReport
from hostmanager.core.model import Kind
from hostmanager.siteconfig.checks.full_check import CheckedEntry, CheckedSite
from hostmanager.siteconfig.checks.spelling import WARNING_SIMILARITY
from hostmanager.siteconfig.diagnostics import SourceLocation
from hostmanager.siteconfig.plugins.argument_probe import ArgumentProbe, ArgumentVerdict, Argv
from hostmanager.siteconfig.plugins.installed_classes import (
    InstalledClasses,
    finish_class_probe,
    start_class_probe,
)
from hostmanager.util.text import closest_match, did_you_mean, join_names, pluralize, quote_value

MAX_NAMED = 12
"""Classes or agents that a message names."""

CLASS_HINT = "Fix the class name, or install the plugin."
INSTALL_HINT = "Install what is missing."
TLS_HINT = "Install it: pip install 'twisted[tls]'."
SPECIAL_HINTS = (
    ("No module named 'OpenSSL", TLS_HINT),
    (" has no function ", "Write it, or name the right one as 'entry_point' in the plugin."),
)
"""Parts of causes, and what is right then."""

_ARGUMENT = re.compile(r"argument (\S+?):")
_UNRECOGNIZED = "unrecognized arguments: "


class InstalledPlugins:
    """The plugins that are installed here, by child processes that are started early."""

    def __init__(self, cwd: str | None = None) -> None:
        self._classes: InstalledClasses | None = None
        self._class_probe: subprocess.Popen[bytes] | None = None
        try:
            self._class_probe = start_class_probe(sys.executable, cwd)
        except OSError as error:
            self._classes = InstalledClasses(None, (f"{cwd or sys.executable}: {error.strerror}.",))
        self._argument_probe = ArgumentProbe(cwd=cwd)

    @property
    def classes(self) -> InstalledClasses:
        """The classes that are installed. Blocks."""
        if self._classes is None and self._class_probe is not None:
            self._classes = finish_class_probe(self._class_probe)
        return self._classes or InstalledClasses()

    def probe_arguments(self, cases: Mapping[str, Sequence[Argv]]) -> dict[str, ArgumentVerdict]:
        """Try the parsers of these classes, once. Blocks."""
        return self._argument_probe.run(cases, self.classes.classes or {})

    def close(self) -> None:
        """End the child processes."""
        self._argument_probe.close()
        if self._classes is None and self._class_probe is not None:
            self._classes = finish_class_probe(self._class_probe, 0.0)


def check_agents(
    site: CheckedSite,
    plugins: InstalledPlugins,
    here: str | None,
    report: CheckReport,
    *,
    elsewhere: bool = False,
) -> None:
    """Check class and arguments of all agents.

    Args:
        site: The site config.
        plugins: What is installed here.
        here: The host that this machine is, if it is one of them: what is missing here is an
            error for its agents. Other hosts may have other plugins.
        report: Gets what is wrong.
        elsewhere: No agent of the site runs here, so the libraries of agents need not be here.
    """
    agents = [instance for instance in site.instances if not instance.is_manager]
    installed = plugins.classes
    if installed.classes is None:
        report.skipped.append(f"classes and arguments of agents: {' '.join(installed.problems)}")
        return
    for text in installed.problems if here is not None else ():
        report.warning(Category.CLASS, None, text, host=here)
    _check_classes(agents, installed.classes, here, report)
    by_class: dict[str, list[CheckedEntry]] = {}
    for agent in agents:
        by_class.setdefault(agent.entry.agent_class, []).append(agent)
    cases = {name: [_argv(agent) for agent in members] for name, members in by_class.items()}
    causes: dict[str, dict[str, ArgumentVerdict]] = {}
    for name, verdict in plugins.probe_arguments(cases).items():
        if verdict.unknown_reason is None:
            _report_verdict(name, by_class[name], verdict, report)
        else:
            cause = verdict.import_error or verdict.unknown_reason
            is_absent = elsewhere and cause.startswith(ModuleNotFoundError.__name__)
            # Where it runs, it may have its library.
            causes.setdefault(cause, {})[name] = (
                replace(verdict, is_importable=True) if is_absent else verdict
            )
    for cause, verdicts in causes.items():
        _report_unknown(cause, verdicts, by_class, here, report)


def _argv(agent: CheckedEntry) -> Argv:
    return tuple(word for word, _ in agent.argv)


def _is_process(agent: CheckedEntry) -> bool:
    """Whether the manager starts this agent as a process, with the plugins of its host."""
    managed_as = agent.entry.managed_as
    return managed_as is not None and managed_as[0] is Kind.HOST


def _elsewhere_hint(agents: Sequence[CheckedEntry]) -> str:
    hosts = list(dict.fromkeys(quote_value(agent.host) for agent in agents))
    plural = "s" if len(hosts) > 1 else ""
    return f"Make sure that it can be imported on host{plural} {join_names(hosts, MAX_NAMED)}."


def _check_classes(
    agents: Sequence[CheckedEntry],
    classes: Mapping[str, str],
    here: str | None,
    report: CheckReport,
) -> None:
    """Report classes that no plugin here provides: of agents that need them here, as errors."""
    missing: list[CheckedEntry] = []
    elsewhere: list[CheckedEntry] = []
    for agent in agents:
        if agent.entry.agent_class in classes:
            continue
        suggestion = closest_match(agent.entry.agent_class, classes, WARNING_SIMILARITY)
        is_required = agent.host == here and _is_process(agent)
        if suggestion is None:
            (missing if is_required else elsewhere).append(agent)
        else:
            text = f"no installed OCS plugin provides the agent class {_class_names([agent])}."
            add = report.error if is_required else report.warning
            hint = f"Did you mean {suggestion!r}? {CLASS_HINT}"
            add(Category.CLASS, agent.entry.class_location, text, hint, agent=agent)
    if missing:
        number = pluralize(len(missing), "agent")
        _report_shared(
            missing,
            f"no installed OCS plugin provides the agent class {_class_names(missing)}.",
            f"no installed OCS plugin provides the classes of {number}: "
            f"{_agents_by_class(missing)}.",
            CLASS_HINT,
            report,
        )
    if elsewhere:
        names = join_names(sorted({a.entry.agent_class for a in elsewhere}), MAX_NAMED)
        report.skipped.append(
            f"{pluralize(len(elsewhere), 'agent')} of classes that no plugin here provides, so "
            f"whether the names are right cannot be known: {names}"
        )


def _report_unknown(
    cause: str,
    verdicts: Mapping[str, ArgumentVerdict],
    by_class: Mapping[str, Sequence[CheckedEntry]],
    here: str | None,
    report: CheckReport,
) -> None:
    """Report once why the parsers of these classes could not be tried."""
    agents = [agent for name in verdicts for agent in by_class[name]]
    first = next(iter(verdicts.values()))
    processes = [] if first.is_importable else [agent for agent in agents if _is_process(agent)]
    affected = [agent for agent in processes if agent.host == here] or processes
    if affected:
        number, is_here = pluralize(len(affected), "agent"), affected[0].host == here
        cannot = "cannot be started" if is_here else "could not be started on this machine"
        hint = next((right for part, right in SPECIAL_HINTS if part in cause), INSTALL_HINT)
        _report_shared(
            affected,
            f"the agent class {_class_names(affected)} {cannot}: {first.unknown_reason}.",
            f"{number} {cannot}: {cause}. They are {_agents_by_class(affected)}.",
            hint if is_here else _elsewhere_hint(affected),
            report,
            is_error=is_here,
        )
        return
    is_single = len(verdicts) == 1
    names = f"class{'' if is_single else 'es'} {join_names(list(verdicts), MAX_NAMED)}"
    reason = first.unknown_reason if is_single else cause
    number = pluralize(len(agents), "agent")
    report.skipped.append(f"arguments of {number} of {names}: {reason}")


def _class_names(agents: Sequence[CheckedEntry]) -> str:
    names = dict.fromkeys(quote_value(agent.entry.agent_class) for agent in agents)
    return join_names(list(names), MAX_NAMED)


def _agents_by_class(agents: Sequence[CheckedEntry]) -> str:
    by_class: dict[str, list[str]] = {}
    for agent in agents:
        by_class.setdefault(agent.entry.agent_class, []).append(agent.name)
    groups = [f"{', '.join(names)} ({kind})" for kind, names in by_class.items()]
    return join_names(groups, MAX_NAMED)


def _report_shared(
    agents: Sequence[CheckedEntry],
    for_one: str,
    for_many: str,
    hint: str,
    report: CheckReport,
    *,
    is_error: bool = True,
) -> None:
    """Report once what one act fixes for all these agents, at the first of them."""
    first = agents[0]
    location, is_single = first.entry.class_location, len(agents) == 1
    message, agent = (for_one, first) if is_single else (for_many, None)
    add = report.error if is_error else report.warning
    add(Category.CLASS, location, message, hint, agent=agent, host=first.host)


def _report_verdict(
    name: str, agents: Sequence[CheckedEntry], verdict: ArgumentVerdict, report: CheckReport
) -> None:
    for agent, reason in zip(agents, verdict.rejections, strict=False):
        if reason is not None:
            location, hint = locate_argument(agent, reason, verdict.options)
            text = f"{name} refuses its arguments: {reason.rstrip('.')}."
            report.error(Category.ARGUMENTS, location, text, hint, agent=agent)


def locate_argument(
    agent: CheckedEntry, reason: str, options: Sequence[str]
) -> tuple[SourceLocation, str]:
    """Find the argument that a parser's complaint is about, and a hint.

    Args:
        agent: Whose arguments they are.
        reason: The message of argparse.
        options: The options that the parser knows.
    """
    if reason.startswith(_UNRECOGNIZED):
        for text in reason.removeprefix(_UNRECOGNIZED).split():
            for word, location in agent.argv:
                if word == text:
                    name = word.partition("=")[0]
                    return location, did_you_mean(name, options) if name.startswith("-") else ""
    if match := _ARGUMENT.match(reason):
        names = match[1].split("/")
        quoted = re.search(r"(?:value|choice): '([^']*)'", reason)
        uses = [
            i for i, (word, _) in enumerate(agent.argv) if _is_option(word.partition("=")[0], names)
        ]
        if uses:
            after = agent.argv[uses[-1] : uses[-1] + 8]
            value = quoted[1] if quoted else None
            return next((at for word, at in after if word == value), after[0][1]), ""
    return agent.arguments_location, ""


def _is_option(word: str, names: Sequence[str]) -> bool:
    """Whether a word is one of these options; argparse accepts beginnings of them, too."""
    return word in names or (
        word.startswith("--") and len(word) > 2 and any(name.startswith(word) for name in names)
    )
