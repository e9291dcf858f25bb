"""Who is preferred by the kernel: the manager, its launching threads, and no agent."""

import json
import subprocess
import sys

import pytest

from hostmanager.drivers.process.priority import AUTOGROUP, MANAGER_NICE

LOOK = """
import json, os, pathlib
group = pathlib.Path("/proc/self/autogroup")
def session():
    # Some kernels have none, and for what runs in the session of pid 1 the file is empty.
    told = group.read_text().split() if group.exists() else []
    return int(told[-1]) if told else None
def look(thread=0):
    return {
        "nice": os.getpriority(os.PRIO_PROCESS, thread),
        "flag": bool(os.sched_getscheduler(thread) & os.SCHED_RESET_ON_FORK),
        "session": session(),
    }
"""

PROGRAM = f"""
{LOOK}
import subprocess, sys, threading
from hostmanager.drivers.process.priority import raise_manager_priority, inherit_manager_priority

found = {{"preferred": raise_manager_priority(), "main": look()}}
child = [sys.executable, "-c", {LOOK + "print(json.dumps(look()))"!r}]

def launch():
    inherit_manager_priority()
    found["thread"] = look()
    agent = subprocess.run(child, stdout=subprocess.PIPE, start_new_session=True, check=True)
    found["agent"] = json.loads(agent.stdout)

thread = threading.Thread(target=launch)
thread.start()
thread.join()
print(json.dumps(found))
"""

USUAL = {"nice": 0, "flag": False, "session": 0 if AUTOGROUP.exists() else None}
PREFERRED = {
    "nice": MANAGER_NICE,
    "flag": True,
    "session": MANAGER_NICE if AUTOGROUP.exists() else None,
}


def run(*arguments, session=True):
    """What became of a manager that was started like this, of a thread, and of its agent."""
    arguments = [*arguments, sys.executable, "-c", PROGRAM]
    result = subprocess.run(
        arguments, stdout=subprocess.PIPE, check=True, start_new_session=session
    )
    return json.loads(result.stdout)


@pytest.fixture
def without():
    """Words that have root run a program as anybody else in this: it may not raise niceness."""
    argv = ["setpriv", "--bounding-set", "-sys_nice"]
    try:
        result = subprocess.run(
            [*argv, "nice", "-n", str(MANAGER_NICE), "nice"],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("there is no setpriv")
    if result.stdout.strip() != "0":
        pytest.skip(f"setpriv cannot be used here: {result.stderr.strip()}")
    return argv


def test_the_manager_and_its_launching_threads_are_preferred_and_agents_are_not(privileged):
    result = run()
    assert result == {"preferred": True, "main": PREFERRED, "thread": PREFERRED, "agent": USUAL}


def test_one_who_may_not_is_as_any_other(without):
    result = run(*without)
    assert result == {"preferred": False, "main": USUAL, "thread": USUAL, "agent": USUAL}


def test_one_whom_a_limit_allows_it_as_the_unit_does_is_preferred(without):
    limit = ["prlimit", f"--nice={20 - MANAGER_NICE}"]
    if subprocess.run([*limit, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("whoever runs the tests may not raise limits (CAP_SYS_RESOURCE)")
    result = run(*limit, *without)
    assert result == {"preferred": True, "main": PREFERRED, "thread": PREFERRED, "agent": USUAL}


@pytest.mark.parametrize("nice", [5, -5])
def test_a_niceness_that_somebody_has_chosen_stays_and_is_passed_on(privileged, nice):
    result = run("nice", "-n", str(nice))
    assert result["preferred"] is False
    chosen = {**USUAL, "nice": nice}
    assert [result["main"], result["thread"], result["agent"]] == [chosen] * 3


@pytest.fixture(params=["a session of its own", "that of the tests"])
def terminal(request):
    """Words that run a program with others in its session, and that session's niceness."""
    if request.param == "that of the tests":
        reported = AUTOGROUP.read_text().split() if AUTOGROUP.exists() else []
        return [], int(reported[-1]) if reported else None
    return ["setsid", "sh", "-c", '"$@"; exit $?', "sh"], USUAL["session"]


def test_the_session_of_a_terminal_is_not_preferred(privileged, terminal):
    argv, session = terminal
    before = AUTOGROUP.read_text() if AUTOGROUP.exists() else None
    result = run(*argv, session=False)
    preferred = {**PREFERRED, "session": session}
    assert result == {"preferred": True, "main": preferred, "thread": preferred, "agent": USUAL}
    assert (AUTOGROUP.read_text() if AUTOGROUP.exists() else None) == before
