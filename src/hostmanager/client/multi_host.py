"""Having the managers of several hosts do one thing: all at the same time, with news of each."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hostmanager.cli.exit_codes import FAILED, OK, UNREACHABLE, CommandError
from hostmanager.cli.output import Output
from hostmanager.client.manager_client import (
    FailureKind,
    ManagerClient,
    ManagerError,
    OperationResult,
    make_clients,
    run_parallel,
)
from hostmanager.client.site_model import Site
from hostmanager.client.status.selection import select_hosts
from hostmanager.util.text import join_names

Answers = Mapping[str, OperationResult | ManagerError]


@dataclass(frozen=True, slots=True)
class TargetManagers:
    """The managers of the hosts that a command is about.

    Attributes:
        site: The site.
        hosts: The hosts that have a manager, in the order of the file.
        managers: By host.
    """

    site: Site
    hosts: Sequence[str]
    managers: Mapping[str, ManagerClient]


def select_managers(site: Site, args: argparse.Namespace) -> TargetManagers:
    """Find the managers of the hosts that `--host` names, else of all.

    Raises:
        CommandError: None of them has one.
    """
    picked = select_hosts(site, args.host)
    hosts = [host for host in picked if host in site.managers]
    if not hosts:
        raise CommandError(
            f"{join_names(picked)}: no manager in the site config; add an entry of class HostManager."
        )
    return TargetManagers(site, hosts, make_clients(site, args, hosts))


def run_on_all(
    targets: TargetManagers,
    work: Callable[[ManagerClient], Callable[[], OperationResult]],
    answer_time: float,
    limit: float,
) -> Answers:
    """Have each manager do this, at the same time.

    All are asked for a sign of life first, so that one that is silent costs no more than the
    time for an answer, however long the work may take.

    Args:
        targets: The managers.
        work: What each is to do.
        answer_time: Seconds for the sign of life.
        limit: Seconds for the work.

    Raises:
        CommandError: There is no router.
    """
    signs = run_parallel({h: man.session for h, man in targets.managers.items()}, answer_time)
    require_router(signs)
    alive = {
        h: man for h, man in targets.managers.items() if not isinstance(signs[h], ManagerError)
    }
    done = run_parallel({host: work(man) for host, man in alive.items()}, limit)
    answers: dict[str, OperationResult | ManagerError] = {}
    for host in targets.hosts:
        sign = signs[host]
        answers[host] = sign if isinstance(sign, ManagerError) else done[host]
    return answers


def require_router(answers: Mapping[str, object]) -> None:
    """If no host could be asked because there is no router, say that once.

    Raises:
        CommandError: It is so.
    """
    found = list(answers.values())
    troubles = [answer for answer in found if isinstance(answer, ManagerError)]
    away = all(error.kind is FailureKind.ROUTER for error in troubles)
    if troubles and away and len(troubles) == len(found):
        raise CommandError(troubles[0].sentences, UNREACHABLE)


def exit_code(answers: Answers) -> int:
    """The exit status: the worst of all hosts."""
    return max((_code(answer) for answer in answers.values()), default=OK)


def _code(answer: OperationResult | ManagerError) -> int:
    if isinstance(answer, ManagerError):
        return FAILED if answer.kind is FailureKind.REFUSED else UNREACHABLE
    return OK if answer.ok else FAILED


def print_results(answers: Answers, screen: Output) -> None:
    """Print what each manager said."""
    for host, answer in answers.items():
        ok = not isinstance(answer, ManagerError) and answer.ok
        text = str(answer) if isinstance(answer, ManagerError) else answer.text or "done"
        screen.line(f"{host}: {text}" if ok else f"! {host}: {text}", "" if ok else "red")


def as_json(answers: Answers) -> list[dict[str, object]]:
    """Give what programs get: for each host, whether it went well and what was said."""
    return [
        {
            "host": host,
            "ok": not isinstance(answer, ManagerError) and answer.ok,
            "answers": not isinstance(answer, ManagerError) or answer.kind is FailureKind.REFUSED,
            "text": str(answer) if isinstance(answer, ManagerError) else answer.text,
        }
        for host, answer in answers.items()
    ]
