"""The results of one operation on several managers: lines, JSON, exit status."""

import argparse
from collections.abc import Callable, Mapping

from hostmanager.cli.exit_codes import FAILED, INTERRUPTED, OK, UNREACHABLE, CommandError
from hostmanager.cli.output import Output
from hostmanager.client.change.stops import lost_reason_text
from hostmanager.client.errors import ManagerError
from hostmanager.client.managers.manager_client import ManagerClient, OperationResult
from hostmanager.client.managers.multi_host import HostResults, TargetManagers, run_on_all


def request_on_all(
    targets: TargetManagers,
    job: Callable[[ManagerClient], OperationResult],
    args: argparse.Namespace,
    output: Output,
    *,
    interrupted: str,
    code: int = OK,
    besides: HostResults | None = None,
    **content: object,
) -> int:
    """Have managers do something, and print the results; returns the exit status.

    Args:
        targets: The managers.
        job: What each is to do; it may take `args.timeout`, and two answers.
        args: The command line.
        output: Where to print.
        interrupted: What goes on after Ctrl-C, as a sentence.
        code: The exit status so far.
        besides: Results to print as well.
        content: What the JSON has besides.

    Raises:
        CommandError: It was interrupted.
    """
    limit = args.timeout + 2 * args.answer_time
    try:
        results = run_on_all(targets, job, args.answer_time, limit)
    except KeyboardInterrupt:
        raise CommandError(f"Interrupted. {interrupted}", INTERRUPTED) from None
    hosts = [host for host, manager in targets.managers.items() if manager.loses_reason]
    if hosts:
        output.warn(lost_reason_text(hosts))
    of_hosts = []
    for host, result in (*results.items(), *(besides or {}).items()):
        answers, ok, text = True, False, str(result)
        if isinstance(result, ManagerError):
            answers = not result.unreachable
            code = max(code, error_code(result))
        else:
            ok, text = result.ok, result.text
            code = max(code, OK if ok else FAILED)
        line = f"{host}: {text or 'done'}"
        output.line(line if ok else f"! {line}", "" if ok else "red")
        of_hosts.append({"host": host, "ok": ok, "answers": answers, "text": text})
    return output.emit_json(code, hosts=of_hosts, **content)


def error_code(error: ManagerError) -> int:
    """The exit status for an error of a manager."""
    return UNREACHABLE if error.unreachable else FAILED


def report_errors(sessions: Mapping[str, object], output: Output) -> int:
    """Print which managers do not answer; returns the exit status for that."""
    code = OK
    for host, session in sessions.items():
        if isinstance(session, ManagerError):
            output.line(f"! {host}: {session}", "red")
            code = max(code, error_code(session))
    return code
