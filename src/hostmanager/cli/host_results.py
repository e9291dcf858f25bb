"""What managers do once requested: the question before it, its progress, the results, exit status."""

import argparse

from hostmanager.cli.confirmation import DRY_RUN, confirm
from hostmanager.cli.exit_codes import FAILED, INTERRUPTED, OK, UNREACHABLE, CommandError
from hostmanager.cli.output import Output
from hostmanager.client.change.prepared import PreparedChange, ProgressRow, RunningChange
from hostmanager.client.errors import ManagerError


def carry_out(
    change: PreparedChange, args: argparse.Namespace, output: Output, *, see_also: str = ""
) -> int:
    """Confirm a change, have managers carry it out, print the results; or say that it is a dry run.

    Args:
        change: The change.
        args: The command line.
        output: Where to print.
        see_also: What to do after Ctrl-C, as a sentence.

    Returns:
        The exit status.

    Raises:
        CommandError: It was interrupted, or not confirmed.
    """
    code = prepared_code(change)
    if args.dry_run:
        output.line(DRY_RUN)
        return output.emit_json(code, **change.content, dry_run=True)
    confirm(change.stops, args, output)
    if change.notice:
        output.warn(change.notice)
    if change.start is not None:
        rows = _execute(change.start(), output, see_also)
    else:  # what was shown before says so
        rows = [
            ProgressRow(host, "", "failed", str(error), unreachable=error.unreachable)
            for host, error in change.errors.items()
        ]
    codes = [OK if r.state == "done" else UNREACHABLE if r.unreachable else FAILED for r in rows]
    hosts = [
        {
            "host": _row_name(row),
            "ok": row.state == "done",
            "answers": not row.unreachable,
            "text": row.text,
        }
        for row in rows
    ]
    code = max([code, *codes])
    return output.emit_json(code, **change.content, dry_run=False, hosts=hosts)


def prepared_code(change: PreparedChange) -> int:
    """The exit status for what is known before anything is done."""
    codes = [error_code(error) for error in change.errors.values()]
    return max([FAILED if change.is_incomplete else OK, *codes])


def _execute(running: RunningChange, output: Output, see_also: str) -> list[ProgressRow]:
    """Carry it out; print the messages of managers as they come, then the results."""
    shown = set(running.rows())

    def show_messages() -> None:
        for row in running.rows():
            if row.state == "pending" and row not in shown:
                shown.add(row)
                output.line(f"{row.host}: {row.text}", "dim")

    try:
        running.execute(show_messages)
    except KeyboardInterrupt:
        texts = ["Interrupted.", *running.notices(), see_also]
        raise CommandError(" ".join(filter(None, texts)), INTERRUPTED) from None
    for notice in running.notices():
        output.warn(notice)
    for row in running.rows():
        ok = row.state == "done"
        output.line(f"{'' if ok else '! '}{_row_name(row)}: {row.text}", "" if ok else "red")
    return running.rows()


def _row_name(row: ProgressRow) -> str:
    return f"{row.host}, {row.name}" if row.name else row.host


def error_code(error: ManagerError) -> int:
    """The exit status for an error of a manager."""
    return UNREACHABLE if error.unreachable else FAILED
