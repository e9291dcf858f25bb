"""What other processes say of themselves: any bytes, and nothing of it stops the manager."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostmanager.core.events import Exited, ExitStatus
from hostmanager.core.model import InstanceSpec
from hostmanager.drivers.process import non_child_exit as strangers
from hostmanager.drivers.process.ownership import discovery as ownership
from hostmanager.drivers.process.ownership import env_tag as marks
from hostmanager.drivers.process.ownership import rlimit_tag as stamps
from hostmanager.util import procfs as proc
from hostmanager.util.numbers import MAX_NUMBER, parse_number
from tests.integration.process.conftest import KILLED, Host, until
from tests.support.users import StartAs, needs_root, other_users

SLEEP = ("/bin/sleep", "1000")

DIGITS = "9" * 5000


def hostile(key: str) -> list[str]:
    """Values of the variable that no manager writes; those with the key look like ours."""
    now = marks.now_ticks()
    ids = ["", "a b\n", "a\nb", "x" * 300, "../../etc/x", "\udcff", "a\x1b[2J", "²"]
    return [
        f"x/y/z/{DIGITS}/c",
        f"{key}/a/abc/{DIGITS}/c",
        f"{key}/a/abc/²/c",
        f"{key}/a/abc/٣/c",
        f"{key}/a/abc/{2**64}/c",
        f"{key}/a/abc/-1/c",
        f"{key}/a/abc/{now}",
        f"{key}/a/abc/{now}/\x1b[2J",
        f"{key}/a/abc/{now}/{'c' * 50_000}",
        *(f"{key}/{instance_id}/abc/{now}/c" for instance_id in ids),
    ]


@pytest.fixture
def as_stranger() -> Iterator[StartAs]:
    """Start processes of another user."""
    with other_users() as start:
        yield start


@pytest.fixture
def as_we() -> Iterator[StartAs]:
    """Start processes of this very user."""
    with other_users(os.geteuid()) as start:
        yield start


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("007", 7),
        (b"42", 42),
        (str(MAX_NUMBER), MAX_NUMBER),
        (str(MAX_NUMBER + 1), None),
        (DIGITS, None),
        *((text, None) for text in ("", " 1", "1\n", "+1", "-1", "1.0", "1_0", "²", "٣", b"\xb2")),
    ],
)
def test_a_number_is_a_number_or_none(text, number):
    assert parse_number(text) == number


def test_what_no_manager_writes_is_no_mark():
    assert [marks.parse_tag(text) for text in hostile("key")] == [None] * len(hostile("key"))


@needs_root
@pytest.mark.parametrize("number", range(len(hostile(""))))
async def test_an_agent_that_dies_is_reported_whatever_the_mark_of_a_stranger(
    host: Host, as_stranger, number
):
    await asyncio.to_thread(
        as_stranger, SLEEP, {marks.ENV_VAR: hostile(host.owner.identity.key)[number]}
    )
    assert await asyncio.to_thread(host.driver.discover) == {}
    pid = await host.launch("a", *SLEEP)
    os.kill(pid, 9)
    assert await host.next("a") == Exited(KILLED)


async def test_our_own_user_may_write_anything_as_well(host: Host, as_we):
    for text in hostile(host.owner.identity.key):
        await asyncio.to_thread(as_we, SLEEP, {marks.ENV_VAR: text, "HOST_TEST": "x"})
    assert await asyncio.to_thread(host.driver.discover) == {}
    pid = await host.launch("a", *SLEEP)
    os.kill(pid, 9)
    assert await host.next("a") == Exited(KILLED)


@needs_root
def test_a_stranger_may_be_called_anything(as_stranger):
    odd = b"/bin/sleep\x1b[2J\xff\n 1) S 1 (" + b"x" * 20_000
    env: dict[str, str] = {}
    process = as_stranger([odd, "1000"], env, executable="/bin/sleep")
    text = ownership.command_line(process.pid)
    assert text.isprintable()
    assert len(text) < 120
    assert proc.start_ticks(process.pid)
    assert proc.parent_pid(process.pid) == os.getpid()
    assert not proc.is_zombie(process.pid)
    assert stamps.read(process.pid) is None


@pytest.mark.parametrize(
    "text", [b"", b"1", b"1 (a", b"1 (a) S", b"1 (a) Z 1 2 x", b"1 (a) " + b"x " * 60]
)
def test_a_stat_that_makes_no_sense_is_none(monkeypatch, text):
    monkeypatch.setattr(proc, "read_stat_line", lambda *_: text)
    assert proc.start_ticks(1) is None
    assert proc.parent_pid(1) is None
    assert proc.zombie_exit_code(1) is None
    monkeypatch.setattr(strangers, "_by_pidfd", lambda _pidfd: None)
    assert strangers.exit_status(1, -1) == ExitStatus()


@needs_root
async def test_a_stranger_with_all_that_we_know_ourselves_by_is_not_ours(host: Host, as_stranger):
    """He cannot know the identity; if he did, he would still be of another user."""
    for variables in (
        {marks.ENV_VAR: f"{host.owner.identity.key}/a/abc/{marks.now_ticks()}/Any"},
        host.owner.environment(InstanceSpec("a", "Any")),
    ):
        process = await asyncio.to_thread(as_stranger, SLEEP, variables)
        assert await asyncio.to_thread(marks.read_tag, process.pid) is not None
        assert await asyncio.to_thread(host.driver.discover) == {}
    pid = await host.launch("a", *SLEEP)
    assert [runs.pid for runs in (await asyncio.to_thread(host.owner.discover)).values()] == [pid]
    os.kill(pid, 9)
    assert await host.next("a") == Exited(KILLED)


@needs_root
async def test_the_rlimit_tag_of_an_agent_on_a_stranger_makes_him_no_relative(
    host: Host, as_stranger
):
    pid = await host.launch("a", *SLEEP)
    stamp = await asyncio.to_thread(stamps.read, pid)
    code = "import resource, sys, time; n = int(sys.argv[1]); l = int(sys.argv[2])\n"
    code += (
        "resource.setrlimit(l, (n, resource.getrlimit(l)[1])); print(flush=True); time.sleep(9e3)"
    )
    argv = ["/usr/bin/python3", "-c", code, str(int(stamp or 0)), str(stamps.RLIMIT_LOCKS)]
    other = await asyncio.to_thread(as_stranger, argv, stdout=subprocess.PIPE)
    with other.stdout:
        await asyncio.to_thread(other.stdout.readline)
    # Without CAP_SYS_RESOURCE, another user's cannot be read.
    assert stamps.read(other.pid) in (stamp, None)
    os.kill(pid, 9)
    assert await host.next("a") == Exited(KILLED)
    assert other.poll() is None


@needs_root
async def test_an_agent_that_has_changed_its_user_is_known_by_its_lock(host: Host):
    code = "import os, time; os.setgroups([]); os.setgid(64123); os.setuid(64123); "
    code += "print('changed', flush=True); time.sleep(1000)"
    pid = await host.launch("a", "/usr/bin/python3", "-c", code)
    await until(lambda: host.has_said("a", "changed"), "another user")
    run = (await asyncio.to_thread(host.owner.discover))["a"]
    assert (run.pid, run.launched_by_other) == (pid, False)
    os.kill(pid, 9)
    assert await host.next("a") == Exited(KILLED)


def test_of_an_environment_without_end_a_part_is_read():
    process = subprocess.Popen(SLEEP, env={"A": "x" * 100_000})
    try:
        assert len(proc.read_file(process.pid, "environ", 1000) or b"") <= 1000
    finally:
        process.kill()
        process.wait()
    assert proc.read_file(process.pid, "environ") is None


@pytest.fixture
def set_uid_program() -> Iterator[str]:
    """A program of ours that everybody can start, as `su` is."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        program = Path(directory, "sleep")
        shutil.copy("/bin/sleep", program)
        program.chmod(0o4755)
        yield str(program)


@needs_root
async def test_a_set_uid_program_that_a_stranger_starts_is_his(
    host: Host, as_stranger, set_uid_program
):
    """It has our effective uid, and an environment and limits of his choice."""
    pid = await host.launch("a", *SLEEP)
    mark = {marks.ENV_VAR: f"{host.owner.identity.key}/a/abc/{marks.now_ticks()}/Any"}
    stamp = await asyncio.to_thread(stamps.read, pid)
    code = "import os, resource, sys; n = int(sys.argv[1]); l = int(sys.argv[2])\n"
    code += (
        "resource.setrlimit(l, (n, resource.getrlimit(l)[1])); os.execv(sys.argv[3], sys.argv[3:])"
    )
    argv = ["/usr/bin/python3", "-c", code, str(int(stamp or 0)), str(stamps.RLIMIT_LOCKS)]
    process = await asyncio.to_thread(as_stranger, [*argv, set_uid_program, "1000"], mark)
    arguments = f"{set_uid_program}\0001000\0".encode()
    cmdline = Path(f"/proc/{process.pid}/cmdline")
    await until(lambda: cmdline.read_bytes() == arguments, "the program")
    if await asyncio.to_thread(proc.effective_uid, process.pid) != os.geteuid():
        pytest.skip("set-uid programs have no effect here (mounted nosuid)")
    surveyed = await asyncio.to_thread(host.owner.discover)
    assert [(run.pid, run.other_pids) for run in surveyed.values()] == [(pid, ())]
    os.kill(pid, 9)
    assert await host.next("a") == Exited(KILLED)
    assert process.poll() is None
