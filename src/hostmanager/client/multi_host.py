"""Having the managers of several hosts do one thing: all at the same time, with news of each."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hostmanager.cli.exit_codes import DONE, NO_ANSWER, NOT_REACHED, CommandError
from hostmanager.cli.output import Screen
from hostmanager.cli.text import few
from hostmanager.client.manager_client import (
    AskError,
    Manager,
    Reply,
    Trouble,
    in_parallel,
    managers,
)
from hostmanager.client.site_model import Site
from hostmanager.client.status.selection import pick_hosts

Answers = Mapping[str, Reply | AskError]


@dataclass(frozen=True, slots=True)
class Crew:
    """The managers of the hosts that a command is about.

    Attributes:
        site: The site.
        hosts: The hosts that have a manager, in the order of the file.
        managers: By host.
    """

    site: Site
    hosts: Sequence[str]
    managers: Mapping[str, Manager]


def crew(site: Site, args: argparse.Namespace) -> Crew:
    """Find the managers of the hosts that `--host` names, else of all.

    Raises:
        CommandError: None of them has one.
    """
    picked = pick_hosts(site, args.host)
    hosts = [host for host in picked if host in site.managers]
    if not hosts:
        raise CommandError(
            f"{few(picked)}: no manager in the site config; add an entry of class HostManager."
        )
    return Crew(site, hosts, managers(site, args, hosts))


def have_done(
    crew: Crew, work: Callable[[Manager], Callable[[], Reply]], answer_time: float, limit: float
) -> Answers:
    """Have each manager do this, at the same time.

    All are asked for a sign of life first, so that one that is silent costs no more than the
    time for an answer, however long the work may take.

    Args:
        crew: The managers.
        work: What each is to do.
        answer_time: Seconds for the sign of life.
        limit: Seconds for the work.

    Raises:
        CommandError: There is no router.
    """
    signs = in_parallel({h: man.session for h, man in crew.managers.items()}, answer_time)
    insist_on_router(signs)
    alive = {h: man for h, man in crew.managers.items() if not isinstance(signs[h], AskError)}
    done = in_parallel({host: work(man) for host, man in alive.items()}, limit)
    answers: dict[str, Reply | AskError] = {}
    for host in crew.hosts:
        sign = signs[host]
        answers[host] = sign if isinstance(sign, AskError) else done[host]
    return answers


def insist_on_router(answers: Mapping[str, object]) -> None:
    """If no host could be asked because there is no router, say that once.

    Raises:
        CommandError: It is so.
    """
    found = list(answers.values())
    troubles = [answer for answer in found if isinstance(answer, AskError)]
    away = all(error.kind is Trouble.ROUTER for error in troubles)
    if troubles and away and len(troubles) == len(found):
        raise CommandError(troubles[0].sentences, NO_ANSWER)


def code_of(answers: Answers) -> int:
    """The exit status: the worst of all hosts."""
    return max((_code(answer) for answer in answers.values()), default=DONE)


def _code(answer: Reply | AskError) -> int:
    if isinstance(answer, AskError):
        return NOT_REACHED if answer.kind is Trouble.REFUSED else NO_ANSWER
    return DONE if answer.ok else NOT_REACHED


def tell(answers: Answers, screen: Screen) -> None:
    """Print what each manager said."""
    for host, answer in answers.items():
        ok = not isinstance(answer, AskError) and answer.ok
        text = str(answer) if isinstance(answer, AskError) else answer.text or "done"
        screen.line(f"{host}: {text}" if ok else f"! {host}: {text}", "" if ok else "red")


def as_json(answers: Answers) -> list[dict[str, object]]:
    """Give what programs get: for each host, whether it went well and what was said."""
    return [
        {
            "host": host,
            "ok": not isinstance(answer, AskError) and answer.ok,
            "answers": not isinstance(answer, AskError) or answer.kind is Trouble.REFUSED,
            "text": str(answer) if isinstance(answer, AskError) else answer.text,
        }
        for host, answer in answers.items()
    ]
