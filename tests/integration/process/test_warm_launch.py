"""Warm launch: a forked agent beside one that was launched cold, and what may go wrong.

The agent is a file, `probe.py`, that `ocs.agent_cli` runs: no site config and no router is needed.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from hostmanager.core.model import InstanceSettings, InstanceSpec
from hostmanager.drivers.process import LaunchCommand, WarmLauncher
from hostmanager.drivers.process.limits.process_limits import LimitError
from hostmanager.drivers.process.output.output_sink import OutputSink
from hostmanager.drivers.process.ownership.discovery import Ownership
from hostmanager.drivers.process.ownership.manager_identity import ManagerIdentity
from hostmanager.drivers.process.spawn import SpawnedProcess, SpawnError, spawn
from hostmanager.drivers.process.warm import control, launcher
from hostmanager.drivers.process.warm.control import NoForkServerError, WarmProcess
from hostmanager.util.secret import Environment
from tests.support.waiting import wait_for

PROBE = Path(__file__).with_name("warm_probe.py")

MAY_DIFFER = {
    # The kernel's view of a process.
    "proc/auxv": "addresses",
    "proc/maps": "addresses; libraries that the agent itself imports later",
    "proc/map_files": "addresses",
    "proc/numa_maps": "addresses",
    "proc/smaps": "memory",
    "proc/smaps_rollup": "memory",
    "proc/pagemap": "memory",
    "proc/mem": "memory",
    "proc/clear_refs": "memory",
    "proc/statm": "memory",
    "proc/oom_score": "memory",
    "proc/stat": "times, addresses, and that nothing was executed since the fork",
    "proc/sched": "times",
    "proc/schedstat": "times",
    "proc/syscall": "addresses",
    "proc/stack": "where it is in the kernel",
    "proc/wchan": "where it is in the kernel",
    "proc/io": "what was read",
    "proc/autogroup": "number of the session",
    "proc/task": "pid",
    "proc/mounts": "of the machine, now; the namespace is compared",
    "proc/mountinfo": "of the machine, now; the namespace is compared",
    "proc/mountstats": "of the machine, now; the namespace is compared",
    "proc/ksm_stat": "memory",
    "proc/fdinfo": "mount ids; positions in /dev/null and the output",
    "proc/arch_status": "times",
    "proc/timers": "pid",
    "status/Pid": "pid",
    "status/Tgid": "pid",
    "status/Ngid": "pid",
    "status/NSpid": "pid",
    "status/NStgid": "pid",
    "status/NSpgid": "pid",
    "status/NSsid": "pid",
    "status/voluntary_ctxt_switches": "times",
    "status/nonvoluntary_ctxt_switches": "times",
    "status/untag_mask": "addresses",
    "status/x86_Thread_features": "-",
    "status/SigQ": "how many signals wait for any process of the user",
    "status/FDSize": "size of a table of the kernel",
    # Python's.
    "python/native_id": "Python does not renew it after a fork (threading.get_native_id is right)",
    "random/value": "it is random",
    "random/numpy": "it is random",
    "sys/modules": "there are more of them: below",
    "sys/path_importer_cache": "directories that were looked at",
    "sys/_git": "-",
    "sys/thread_info": "-",
}
"""What is not compared, and why."""

MORE_MODULES = ("ctypes", "_ctypes", "_posixsubprocess")
"""What a forked agent may have in `sys.modules`, beside what every agent of OCS imports."""


class PipeSink(OutputSink):
    """Pipes, as those of the log daemon; what is in them is read in the end."""

    def open(self, instance_id: str, path: Path) -> tuple[int, int]:
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        return os.open(path, os.O_RDWR), 0


class Launches:
    """Launches probes, and ends them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.warm = WarmLauncher()
        identity = ManagerIdentity("test", (secrets.token_hex(16),))
        self.ownership = Ownership(identity, directory / "locks")
        self.sink = PipeSink()
        self.spawned: list[SpawnedProcess] = []
        (directory / "work").mkdir()

    def launch(
        self,
        name: str,
        *arguments: str,
        warm: bool = True,
        settings: InstanceSettings | None = None,
    ) -> SpawnedProcess:
        argv = [sys.executable, "-m", "ocs.agent_cli", "--agent", os.fspath(PROBE)]
        argv += ["--entrypoint", "main", "--instance-id", "probe", *arguments]
        env = Environment({**os.environ, "PROBE_TEST": "ä", "PYTHONUNBUFFERED": "1"})
        spec = InstanceSpec(name, "Probe", settings=settings or InstanceSettings())
        command = LaunchCommand(
            *(tuple(argv), self.directory / "work", env, self.directory / f"{name}.out"),
            warm=warm and spec.settings.may_be_forked,
        )
        parts = (command, spec, self.ownership, self.sink, lambda _: None)
        for attempt in (self.warm, self.warm, None):
            if attempt and command.warm:
                attempt.start(sys.executable, command.cwd, env)
            with contextlib.suppress(NoForkServerError):
                spawned = spawn(*parts, warm=attempt)
                break
        assert isinstance(spawned, SpawnedProcess)
        self.spawned.append(spawned)
        return spawned

    def probe(
        self, name: str, *, warm: bool = True, settings: InstanceSettings | None = None
    ) -> dict:
        """Launch one, and return what it saw of itself."""
        file = self.directory / "dump.json"
        file.unlink(missing_ok=True)
        spawned = self.launch(name, "--dump", os.fspath(file), warm=warm, settings=settings)
        wait_for(file.exists, 20, "the probe", lambda: self.output(name))
        assert exit_of(spawned) == (os.CLD_EXITED, 7), self.output(name)
        return json.loads(file.read_text())

    def output(self, name: str) -> str:
        """What it wrote; to be asked while it, or its server, has the pipe open."""
        fd = os.open(self.directory / f"{name}.out", os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(fd, "rb", buffering=0) as pipe:
            return (pipe.read(1 << 20) or b"").decode()

    def close(self) -> None:
        self.warm.close()
        for each in self.spawned:
            if each.pidfd >= 0:
                try:
                    signal.pidfd_send_signal(each.pidfd, signal.SIGKILL)
                    os.waitid(os.P_PIDFD, each.pidfd, os.WEXITED)
                except (ProcessLookupError, ChildProcessError):
                    pass
                os.close(each.pidfd)


def fork(warm: WarmLauncher, cwd: Path, output: int = 1) -> WarmProcess | None:
    """Have a process forked; None: it has to be launched cold."""
    env = Environment(dict(os.environ))
    warm.start(sys.executable, cwd, env)
    return warm.fork((sys.executable, "-m", "ocs.agent_cli"), cwd, env, (output,))


def exit_of(spawned: SpawnedProcess) -> tuple[int, int]:
    """Wait for its end: how it ended."""
    result = os.waitid(os.P_PIDFD, spawned.pidfd, os.WEXITED)
    assert result is not None
    return result.si_code, result.si_status


def children() -> list[psutil.Process]:
    """Our children, zombies too."""
    return psutil.Process().children()


def is_forked(pid: int) -> bool:
    """Whether a process was launched warm: nothing was executed since its fork."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return bool(int(fields[6]) & 0x40)  # PF_FORKNOEXEC


def agents_alive() -> set[int]:
    """All processes that are probes, whoever their parent is."""
    pids = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            is_zombie = process.status() == psutil.STATUS_ZOMBIE
            if not is_zombie and os.fspath(PROBE) in process.cmdline():
                pids.add(process.pid)
    return pids


@pytest.fixture(scope="module")
def launches(tmp_path_factory) -> Iterator[Launches]:
    before = {child.pid for child in children()}
    launches = Launches(tmp_path_factory.mktemp("warm"))
    with pytest.MonkeyPatch.context() as patch:  # the machine may be busy
        patch.setattr(control, "START_TIMEOUT", 100)
        patch.setattr(control, "FORK_TIMEOUT", 25)
        yield launches
    launches.close()
    assert {child.pid for child in children()} <= before


# --- what it is -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seen(launches) -> dict[str, dict]:
    given = InstanceSettings(nice=3, open_files=512)
    return {
        "cold": launches.probe("cold", warm=False, settings=given),
        "warm": launches.probe("warm", warm=True, settings=given),
        "other": launches.probe("other", warm=True, settings=given),
    }


def test_a_forked_agent_is_what_it_would_be_if_it_was_executed(seen):
    cold, warm = seen["cold"], seen["warm"]
    assert warm["was_forked"] and not cold["was_forked"]
    assert warm.keys() == cold.keys()
    names = [name for name in warm if name != "was_forked" and name not in MAY_DIFFER]
    different = {
        name: (warm[name], cold[name])
        for name in names
        if warm[name] != cold[name] and not name.startswith(("status/Vm", "status/Rss"))
    }
    assert not different


def test_a_forked_agent_has_no_module_of_the_manager(seen):
    names = {name: set(seen[name]["sys/modules"]) for name in ("warm", "cold")}
    assert names["cold"] <= names["warm"]
    more = names["warm"] - names["cold"]
    assert not {name for name in more if "hostmanager" in name or name == "fork_server"}
    assert "twisted.internet.reactor" not in more
    preloaded = {"ocs", "autobahn", "twisted", "txaio", "pydantic"}
    assert preloaded <= {name.partition(".")[0] for name in more}


def test_forked_agents_do_not_share_random_numbers(seen):
    for generator in ("value", "numpy"):
        assert len({each[f"random/{generator}"] for each in seen.values()}) == len(seen)


def test_its_limits_are_there_before_it_begins(seen):
    assert seen["warm"]["os/nice"] == 3
    assert seen["warm"]["limits/RLIMIT_NOFILE"] == [512, 512]


# --- its end ---------------------------------------------------------------------------------


def test_its_exit_code_and_the_signal_that_ended_it_are_known(launches):
    killed = launches.launch("a", "--wait")
    assert is_forked(killed.pid)
    signal.pidfd_send_signal(killed.pidfd, signal.SIGTERM)
    assert exit_of(killed) == (os.CLD_KILLED, signal.SIGTERM)
    interrupted = launches.launch("a", "--wait", "--say", "here")
    wait_for(lambda: "here" in launches.output("a"), what="the handler of SIGINT")
    signal.pidfd_send_signal(interrupted.pidfd, signal.SIGINT)
    assert exit_of(interrupted) == (os.CLD_KILLED, signal.SIGINT)  # as Python ends
    wrong = launches.launch("a", "--entrypoint", "nothing")
    assert exit_of(wrong) == (os.CLD_EXITED, 1)


def test_a_crash_while_an_agent_is_imported_leaves_the_fork_server_alive(launches, tmp_path):
    broken = tmp_path / "broken_probe.py"
    broken.write_text("import os\nos.abort()\n")
    exit_of(launches.launch("a"))
    server = launches.warm.pid
    crashed = launches.launch("b", "--agent", os.fspath(broken))
    assert exit_of(crashed)[1] == signal.SIGABRT
    assert is_forked(launches.launch("c", "--wait").pid)
    assert launches.warm.pid == server


def test_a_process_that_may_not_have_its_limits_never_begins(launches, monkeypatch):
    def refuse(_pid: int, _settings: object) -> None:
        raise LimitError("nice", "no")

    monkeypatch.setattr("hostmanager.drivers.process.limits.process_limits.apply_limits", refuse)
    before = agents_alive()
    with pytest.raises(SpawnError, match="nice"):
        launches.launch("d", "--wait", "--say", "begun")
    assert agents_alive() == before
    assert "begun" not in launches.output("d")


# --- the fork server ends, hangs, is out of date -----------------------------------------------


def test_a_fork_server_that_was_killed_is_replaced(launches):
    survivor = launches.launch("e", "--wait")
    server = launches.warm.pid
    os.kill(server, signal.SIGKILL)
    assert is_forked(launches.launch("f", "--wait").pid)
    assert launches.warm.pid != server
    signal.pidfd_send_signal(survivor.pidfd, signal.SIGTERM)
    assert exit_of(survivor) == (os.CLD_KILLED, signal.SIGTERM)


def test_a_fork_server_that_hangs_costs_one_cold_launch(launches, monkeypatch, caplog):
    exit_of(launches.launch("g"))
    monkeypatch.setattr(control, "FORK_TIMEOUT", 0.2)
    os.kill(launches.warm.pid, signal.SIGSTOP)
    before = agents_alive()
    cold = launches.launch("h", "--wait")
    assert not is_forked(cold.pid)
    # The kernel shows its command line a moment after it was executed.
    wait_for(lambda: agents_alive() - before == {cold.pid}, what="one process, the cold one")
    assert [record.message for record in caplog.records if "hangs" in record.message]
    monkeypatch.setattr(control, "FORK_TIMEOUT", 25)
    assert is_forked(launches.launch("i", "--wait").pid)


def test_one_that_goes_on_hanging_holds_up_two_launches_and_no_more(monkeypatch, tmp_path):
    server = tmp_path / "server.py"
    start = "import socket, sys, time\ncontrol = socket.socket(fileno=int(sys.argv[1]))\n"
    count = tmp_path / "count"
    server.write_text(
        f"{start}open({os.fspath(count)!r}, 'a').write('x')\ncontrol.send(b'ready'); time.sleep(60)"
    )
    monkeypatch.setattr(control, "SERVER", server)
    monkeypatch.setattr(control, "START_TIMEOUT", 100)
    monkeypatch.setattr(control, "FORK_TIMEOUT", 0.2)
    warm = WarmLauncher()
    try:
        for _ in range(4):
            assert fork(warm, tmp_path) is None
    finally:
        warm.close()
    assert count.read_text() == "xx"


@pytest.mark.usefixtures("launches")
def test_too_few_agents_have_no_fork_server(tmp_path):
    count = launcher.MIN_AGENTS - 1
    warm = WarmLauncher(lambda: count)
    try:
        assert fork(warm, tmp_path) is None
        assert warm.pid is None
        count += 1  # after a reload
        process = fork(warm, tmp_path)
        assert process is not None
        process.abandon()
    finally:
        warm.close()


FORKED = """
control.send(b'ready'); fds = socket.recv_fds(control, 1, 8)[1]
pid = os.fork()
if not pid: os.execvp('sleep', ['sleep', '60'])
socket.socket(fileno=fds[0]).send(b'{"pid": %d}' % pid)
"""
BROKEN_SERVERS = {
    "ends": "",
    "says why": "control.send(b'UnfitError: no')",
    "hangs": "time.sleep(60)",
    "says nonsense": "control.send(b'ready'); fds = socket.recv_fds(control, 1, 8)[1]\n"
    "socket.socket(fileno=fds[0]).send(b'{}')",
    "ends at a request": "control.send(b'ready'); control.recv(1)",
    "forks and ends": "control.send(b'ready'); socket.recv_fds(control, 1, 8); os.fork()",
    "ends after a fork": FORKED,
    "means another one": f"{FORKED}\ncontrol.send(b'1'); time.sleep(60)",
    "hangs after a fork": "control.send(b'ready'); fds = socket.recv_fds(control, 1, 8)[1]\n"
    "control.send(str(os.fork() or os.getpid()).encode()); time.sleep(60)",
}


@pytest.mark.parametrize(("answer", "pause"), [(b"UnfitError: no", 3600), (b"ImportError: no", 60)])
def test_where_it_does_not_fit_it_is_seldom_tried(answer, pause, tmp_path, monkeypatch):
    server = tmp_path / "server.py"
    server.write_text(f"import os; os.write(int(os.sys.argv[1]), {answer!r})")
    monkeypatch.setattr(control, "SERVER", server)
    monkeypatch.setattr(control, "START_TIMEOUT", 100)
    now = 1000.0
    monkeypatch.setattr(launcher, "time", SimpleNamespace(monotonic=lambda: now))
    warm = WarmLauncher()
    warm.start(sys.executable, tmp_path, Environment(dict(os.environ)))
    now += pause - 1
    assert not warm.needs_start
    now += 2
    assert warm.needs_start


@pytest.mark.parametrize("code", BROKEN_SERVERS.values(), ids=BROKEN_SERVERS)
def test_whatever_a_fork_server_does_one_agent_runs(code, launches, tmp_path, monkeypatch):
    server = tmp_path / "server.py"
    start = "import os, socket, sys, time\ncontrol = socket.socket(fileno=int(sys.argv[1]))\n"
    server.write_text(start + code)
    monkeypatch.setattr(control, "SERVER", server)
    monkeypatch.setattr(control, "FORK_TIMEOUT", 1)
    monkeypatch.setattr(control, "START_TIMEOUT", 1)
    monkeypatch.setattr(launches, "warm", WarmLauncher())
    before = agents_alive()
    try:
        agent = launches.launch("j", "--wait", "--say", "begun")
        assert not is_forked(agent.pid)
        wait_for(lambda: "begun" in launches.output("j"), what="the agent")
        assert agents_alive() - before == {agent.pid}
    finally:
        launches.warm.close()
        signal.pidfd_send_signal(launches.spawned[-1].pidfd, signal.SIGKILL)
        exit_of(launches.spawned[-1])


def test_a_file_that_changed_on_disk_is_imported_anew(launches, tmp_path, monkeypatch):
    """Here the one that Python imports at its start; no different for any other."""
    module = tmp_path / "sitecustomize.py"
    monkeypatch.setenv("PYTHONPATH", os.fspath(tmp_path))
    monkeypatch.setattr(launches, "warm", WarmLauncher())

    def seen_version(text: str) -> bool:
        module.write_text(f"import sys\nsys.probe_version = {text!r}  # {'x' * len(text)}\n")
        then = time.time() - 100
        os.utime(module, (then, then + len(text)))
        return f"{text!r}" in launches.probe("k")["sys/probe_version"]

    try:
        assert seen_version("one")
        server = launches.warm.pid
        assert seen_version("second")
        assert launches.warm.pid != server
        server = launches.warm.pid
        (tmp_path / "agent.log").touch()  # what agents write there is nothing to import
        assert is_forked(launches.launch("k", "--wait").pid)
        assert launches.warm.pid == server
    finally:
        launches.warm.close()


def test_it_is_preferred_as_the_manager_is_and_agents_are_not(
    privileged, launches, tmp_path, monkeypatch
):
    monkeypatch.setattr(control, "manager_nice", lambda: -7)
    monkeypatch.setattr(launches, "warm", WarmLauncher())

    def precedence(pid: int) -> list[int]:
        group = Path(f"/proc/{pid}/autogroup")
        of_session = int(group.read_text().split()[-1]) if group.exists() else None
        return [os.getpriority(os.PRIO_PROCESS, pid), of_session]

    try:
        agent = launches.launch("m", "--wait")
        server = launches.warm.pid
        expected = -7 if Path("/proc/self/autogroup").exists() else None
        assert precedence(server) == [-7, expected]
        usual = os.getpriority(os.PRIO_PROCESS, 0)
        assert precedence(agent.pid) == [usual, None if expected is None else 0]
    finally:
        launches.warm.close()


def test_variables_of_its_own_and_a_setting_make_a_launch_cold(launches):
    for settings in (InstanceSettings(warm=False), InstanceSettings(environment=(("A", "b"),))):
        agent = launches.launch("l", "--wait", settings=settings)
        assert not is_forked(agent.pid)
        signal.pidfd_send_signal(agent.pidfd, signal.SIGKILL)
        exit_of(agent)


def test_a_long_reason_in_any_script_makes_the_launch_cold(launches, caplog):
    launches.launch("first", "--wait")
    missing = Path("/", *["\N{TELESCOPE}" * 60] * 6)
    with Path(os.devnull).open("wb") as output:
        assert fork(launches.warm, missing, output.fileno()) is None
    assert "FileNotFoundError" in caplog.text


class Unkillable(subprocess.Popen):
    """A fork server that waits for a disk for ever: no signal ends it."""

    def __init__(self, argv: tuple[str, ...], **options: Any) -> None:
        super().__init__((sys.executable, "-c", "import time; time.sleep(1000)"), **options)

    def kill(self) -> None:
        """It is not ended."""


def test_a_fork_server_that_cannot_be_killed_holds_no_launch_up(tmp_path, monkeypatch, caplog):
    for name in ("START_TIMEOUT", "KILL_TIMEOUT"):
        monkeypatch.setattr(control, name, 0.2)
    monkeypatch.setattr(launcher, "KILL_TIMEOUT", 0.2)
    monkeypatch.setattr(control.subprocess, "Popen", Unkillable)
    warm = WarmLauncher()
    before = children()
    result: list[object] = ["it waits"]
    threading.Thread(
        target=lambda: result.__setitem__(0, fork(warm, tmp_path)),
        daemon=True,
    ).start()
    try:
        wait_for(lambda: result == [None], 20, "a cold launch")
        assert "its imports take more than" in caplog.text
        warm.close()
    finally:
        for process in children():
            if process not in before:
                process.kill()
                process.wait(20)
