"""Checking agents: that their class is installed, and that its own parser takes the arguments."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

from hostmanager.cli.check_found import About, Report
from hostmanager.cli.human import counted, few
from hostmanager.core.model import Kind
from hostmanager.site.arguments import Answer, Asking, Words
from hostmanager.site.classes import Classes, finish_probe, start_probe
from hostmanager.site.problems import Place, Severity, did_you_mean, shown
from hostmanager.site.typos import close
from hostmanager.site.whole import Instance, Whole

_ARGUMENT = re.compile(r"argument (\S+?):")
_UNKNOWN = "unrecognized arguments: "


class Plugins:
    """What is installed here: looked up in child processes that are started early."""

    def __init__(self, cwd: str | None = None) -> None:
        self._classes: Classes | None = None
        self._probe: subprocess.Popen[bytes] | None = None
        try:
            self._probe = start_probe(sys.executable, cwd)
        except OSError as error:
            self._classes = Classes(None, (f"{cwd or sys.executable}: {error.strerror}.",))
        self._cwd = cwd
        self._asking: Asking | None = Asking(cwd=cwd)

    @property
    def classes(self) -> Classes:
        """The classes that are installed. Blocks."""
        if self._classes is None and self._probe is not None:
            self._classes = finish_probe(self._probe)
        return self._classes or Classes()

    def ask(self, cases: Mapping[str, Sequence[Words]]) -> dict[str, Answer]:
        """Ask the parsers of these classes. Blocks."""
        asking, self._asking = self._asking or Asking(cwd=self._cwd), None
        return asking.ask(cases, self.classes.classes or {})

    def close(self) -> None:
        """Leave nothing running."""
        if self._asking is not None:
            self._asking.close()
        if self._classes is None and self._probe is not None:
            self._classes = finish_probe(self._probe, 0.0)


def check_agents(whole: Whole, plugins: Plugins, here: str | None, report: Report) -> None:
    """Check class and arguments of all agents.

    Args:
        whole: The site file.
        plugins: What is installed here.
        here: The host that this machine is, if it is one of them: what is missing here is an
            error for its agents. Other hosts may have other plugins.
        report: Gets what is wrong.
    """
    agents = [i for i in whole.instances if not i.is_manager]
    known = plugins.classes
    if known.classes is None:
        report.unchecked.append(f"classes and arguments of agents: {' '.join(known.problems)}")
        return
    if here is not None:
        for text in known.problems:
            report.add(About.CLASS, Severity.WARNING, None, text, host=here)
    _check_classes(agents, known.classes, here, report)
    cases: dict[str, list[Instance]] = {}
    for agent in agents:
        cases.setdefault(agent.entry.agent_class, []).append(agent)
    answers = plugins.ask({name: [_texts(one) for one in ones] for name, ones in cases.items()})
    for name, answer in answers.items():
        _tell(name, cases[name], answer, here, report)


def _texts(agent: Instance) -> Words:
    return tuple(word for word, _ in agent.words)


def _runs_here(agent: Instance, here: str | None) -> bool:
    management = agent.entry.management
    return agent.host == here and management is not None and management[0] is Kind.HOST


def _check_classes(
    agents: Sequence[Instance], classes: Mapping[str, str], here: str | None, report: Report
) -> None:
    used = Counter(agent.entry.agent_class for agent in agents)
    usual = [name for name, number in used.items() if number > 2]
    absent: Counter[str] = Counter()
    for agent in agents:
        name = agent.entry.agent_class
        if name in classes:
            continue
        near = close(name, [*classes, *(other for other in usual if other != name)])
        must = _runs_here(agent, here)
        if not must and (near is None or name in usual):
            absent[name] += 1
            continue
        remedy = f"Did you mean {near!r}? " if near else ""
        report.add(
            About.CLASS,
            Severity.ERROR if must else Severity.WARNING,
            agent.entry.class_place,
            f"no installed OCS plugin provides the agent class {shown(name)}.",
            f"{remedy}Mend the class name, or install the plugin.",
            host=agent.host,
            instance_id=agent.name,
        )
    if absent:
        number = counted(absent.total(), "agent")
        report.unchecked.append(
            f"{number} of classes that no plugin here provides: {few(sorted(absent), 12)}"
        )


def _tell(
    name: str, agents: Sequence[Instance], answer: Answer, here: str | None, report: Report
) -> None:
    if answer.unknown is not None:
        ours = [agent for agent in agents if _runs_here(agent, here)]
        if answer.imports or not ours:
            report.unchecked.append(
                f"arguments of {counted(len(agents), 'agent')} of class {name}: {answer.unknown}"
            )
            return
        for agent in ours:
            report.add(
                About.CLASS,
                Severity.ERROR,
                agent.entry.class_place,
                f"the agent class {shown(name)} cannot be started: {answer.unknown}.",
                "Install what is missing.",
                host=agent.host,
                instance_id=agent.name,
            )
        return
    for agent, why in zip(agents, answer.refused, strict=False):
        if why is not None:
            place, remedy = blamed(agent, why, answer.options)
            report.add(
                About.ARGUMENTS,
                Severity.ERROR,
                place,
                f"{name} refuses its arguments: {why.rstrip('.')}.",
                remedy,
                host=agent.host,
                instance_id=agent.name,
            )


def blamed(agent: Instance, why: str, options: Sequence[str]) -> tuple[Place, str]:
    """Find the word that a parser's complaint is about, and what would be right.

    Args:
        agent: Whose arguments they are.
        why: What argparse said.
        options: What the parser knows.
    """
    if why.startswith(_UNKNOWN):
        for text in why.removeprefix(_UNKNOWN).split():
            for word, place in agent.words:
                if word == text:
                    name = word.partition("=")[0]
                    return place, did_you_mean(name, options) if name.startswith("-") else ""
    if named := _ARGUMENT.match(why):
        names = named[1].split("/")
        quoted = re.search(r"(?:value|choice): '([^']*)'", why)
        at = [i for i, (word, _) in enumerate(agent.words) if _is(word.partition("=")[0], names)]
        if at:
            after = agent.words[at[-1] : at[-1] + 8]
            wanted = quoted[1] if quoted else None
            return next((p for word, p in after if word == wanted), after[0][1]), ""
    return agent.arguments_place, ""


def _is(word: str, names: Sequence[str]) -> bool:
    """Whether a word is one of these options; argparse takes their beginnings, too."""
    return word in names or (
        word.startswith("--") and len(word) > 2 and any(name.startswith(word) for name in names)
    )
