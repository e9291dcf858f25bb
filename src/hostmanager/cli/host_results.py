"""The results of one operation on several managers: lines, JSON, exit status."""

from hostmanager.cli.exit_codes import FAILED, OK, UNREACHABLE
from hostmanager.cli.output import Output
from hostmanager.client.errors import ManagerError
from hostmanager.client.multi_host import HostResults


def report_results(results: HostResults, output: Output, code: int = OK, **content: object) -> int:
    """Print the result of each manager; returns the exit status, the worst of all hosts.

    Args:
        results: By host.
        output: Where to print.
        code: The exit status so far.
        content: What the JSON has besides.
    """
    hosts = []
    for host, result in results.items():
        answers, ok = True, False
        if isinstance(result, ManagerError):
            text, answers = str(result), not result.unreachable
            code = max(code, error_code(result))
        else:
            text, ok = result.text, result.ok
            code = max(code, OK if ok else FAILED)
        line = f"{host}: {text or 'done'}"
        output.line(line if ok else f"! {line}", "" if ok else "red")
        hosts.append({"host": host, "ok": ok, "answers": answers, "text": text})
    return output.emit_json(code, hosts=hosts, **content)


def error_code(error: ManagerError) -> int:
    """The exit status for an error of a manager."""
    return UNREACHABLE if error.unreachable else FAILED
