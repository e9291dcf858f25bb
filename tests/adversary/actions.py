"""What another user of the host may try, as a grammar: deeds, and how each is done.

None of them needs a right that a plain user does not have, but for the hard links: the kernel
refuses those by default (`fs.protected_hardlinks`), so root makes them in his name.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from hostmanager.drivers.process.ownership import env_tag as marks
from hostmanager.drivers.process.ownership import rlimit_tag as stamps
from tests.support.users import STRANGER, StartAs, hostile_host, other_users
from tests.support.waiting import wait_for

PYTHON = "/usr/bin/python3"
"""One that every user can run."""

SLEEP = ("/bin/sleep", "1000")

IDS = st.sampled_from(["a", "b", "c", "hm", "", "..", "a b\n", "x" * 300, "all"])
TIMES = st.sampled_from(["now", "0", "9" * 5000, "²", "-1", ""])

STAMPED = (
    "import os, resource, sys; l = int(sys.argv[2])\n"
    "resource.setrlimit(l, (int(sys.argv[1]), resource.getrlimit(l)[1]))\n"
    "os.execv(sys.argv[3], sys.argv[3:])"
)


@dataclass(frozen=True)
class Mark:
    """A process with a mark, by what he could have learnt of ours.

    Attributes:
        instance_id: Whose agent it claims to be.
        ticks: When it claims to have been launched.
        secret: Whether he has even learnt the identity (a backup that all can read, say).
    """

    instance_id: str
    ticks: str
    secret: bool


@dataclass(frozen=True)
class Stamped:
    """A process with the stamp of an agent, and of nobody."""

    instance_id: str


@dataclass(frozen=True)
class Named:
    """A process that is called like one of ours."""

    title: str


@dataclass(frozen=True)
class Churn:
    """A process that starts others, which end at once, without a pause."""


Deed = Mark | Stamped | Named | Churn

DEEDS = st.lists(
    st.builds(Mark, IDS, TIMES, st.booleans())
    | st.builds(Stamped, st.sampled_from(["a", "b"]))
    | st.builds(
        Named,
        st.sampled_from(
            [
                "ocs-agent:a",
                "python -m hostmanager.logd --state /",
                "python -m hostmanager.agent",
                "\x1b[2J) Z 1 1 (\n",
            ]
        ),
    )
    | st.just(Churn()),
    min_size=1,
    max_size=5,
)


@dataclass(frozen=True)
class Target:
    """What there is of ours to go by.

    Attributes:
        variables: What an agent of ours has in its environment.
        leaders: The pids of our agents, as far as they run.
    """

    variables: Mapping[str, str]
    leaders: Mapping[str, int]


class Adversary:
    """Another user, and his processes."""

    def __init__(self, start: StartAs) -> None:
        self._start = start
        self.processes: list[subprocess.Popen[bytes]] = []

    def do(self, deed: Deed, target: Target) -> None:
        """Do it; returns when it is done."""
        match deed:
            case Mark():
                self._run(SLEEP, _marked(deed, target))
            case Stamped(instance_id):
                pid = target.leaders.get(instance_id, os.getpid())
                stamp = stamps.read(pid) or stamps.RlimitTag(pid, 1)
                argv = [PYTHON, "-c", STAMPED, str(int(stamp)), str(stamps.RLIMIT_LOCKS), *SLEEP]
                pid = self._run(argv)
                cmdline = Path(f"/proc/{pid}/cmdline")
                wait_for(lambda: cmdline.read_bytes().startswith(b"/bin/sleep"), 60)
            case Named(title):
                self._run([title, "1000"], executable="/bin/sleep")
            case Churn():
                self._run(["/bin/sh", "-c", "while :; do /bin/true; done"])

    def squat(self, name: bytes) -> None:
        """Take an abstract socket name, listening there."""
        code = "import socket, sys, time; s = socket.socket(socket.AF_UNIX)\n"
        code += "s.bind(b'\\0' + sys.argv[1].encode()); s.listen(); print(flush=True)\n"
        code += "time.sleep(1000)"
        argv = [PYTHON, "-c", code, os.fsdecode(name)]
        self._run(argv, stdout=subprocess.PIPE)
        with self.processes[-1].stdout as out:  # type: ignore[union-attr]
            assert out.readline()

    def plant(self, path: Path, kind: str, victim: Path) -> None:
        """Put something into a directory where he may write."""
        path.parent.mkdir(exist_ok=True)
        if os.path.lexists(path):
            path.rename(path.with_name(f"{path.name}.his"))
        match kind:
            case "link":
                path.symlink_to(victim)
            case "hard link":
                path.hardlink_to(victim)
                return  # it is the victim's own file
            case "fifo":
                os.mkfifo(path)
            case "file":
                path.write_text("his\n")
        os.chown(path, STRANGER, STRANGER, follow_symlinks=False)

    def unharmed(self) -> bool:
        """Whether nobody has sent any of them a signal: each dies of one."""
        return all(process.poll() is None for process in self.processes)

    def _run(self, argv, env: Mapping[str, str] | None = None, **options) -> int:
        process = self._start(argv, env, **options)
        self.processes.append(process)
        return process.pid


def _marked(deed: Mark, target: Target) -> dict[str, str]:
    legacy = target.variables[marks.ENV_VAR].split("/", 4)
    ticks = str(marks.now_ticks()) if deed.ticks == "now" else deed.ticks
    legacy[1], legacy[3] = deed.instance_id, ticks
    environ = {**target.variables, marks.ENV_VAR: "/".join(legacy)}
    if not deed.secret:
        environ.pop(marks.IDENTITY_ENV_VAR, None)
    return {name: value for name, value in environ.items() if "\0" not in value}


@contextmanager
def adversary() -> Iterator[Adversary]:
    """Another user; his processes are ended at the end."""
    with hostile_host(exclusive=False), other_users() as start:
        yield Adversary(start)


def socket_names(pid: int) -> list[bytes]:
    """The abstract socket names of a manager; any user can read or compute them."""
    links = (str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir())
    inodes = {link[8:-1].encode() for link in links if link.startswith("socket:[")}
    lines = (line.split() for line in Path("/proc/net/unix").read_bytes().splitlines())
    return [command[7][1:] for command in lines if len(command) > 7 and command[6] in inodes]
