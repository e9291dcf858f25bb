"""What can be seen from outside when something takes far longer than it should: kept in a file,
since by the end of the round it may be over, and nobody would know why."""

import contextlib
from pathlib import Path

from tests.faults.managers import Run
from tests.faults.process_observer import Living


def describe(why: str, run: Run, alive: list[Living]) -> str:
    """The reason, who is alive, what the manager's threads do, the end of its log."""
    lines = [why, "", "alive:"]
    lines += [f"{x.instance_id} {_status(x.pid)}" for x in alive]
    lines += ["", f"manager {_status(run.pid)}; its threads (name, state, ticks, waits in):"]
    with contextlib.suppress(OSError):
        lines += [_thread(task) for task in sorted(Path(f"/proc/{run.pid}/task").iterdir())]
    return "\n".join([*lines, "", "the end of its log:", *run.lines()[-40:]]) + "\n"


def _status(pid: int) -> str:
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
        return " ".join(line for line in text if line.startswith(("Pid:", "PPid:", "State:")))
    return f"{pid}: gone"


def _thread(task: Path) -> str:
    with contextlib.suppress(OSError):
        head, _, rest = (task / "stat").read_text().rpartition(")")
        fields = rest.split()
        waits = (task / "wchan").read_text()
        return f"{head.partition('(')[2]} {fields[0]} {fields[11]}+{fields[12]} {waits}"
    return f"{task.name}: gone"
