"""Warm launch: a forked agent is what one is that was launched cold.

The agent is a file, `warm_probe.py`, that `ocs.agent_cli` runs: no site config and no router is needed.
"""

import os
import signal
from pathlib import Path

import pytest

from hostmanager.core.model import InstanceSettings
from hostmanager.drivers.process.limits.process_limits import LimitError
from hostmanager.drivers.process.spawn import SpawnError
from tests.integration.process.warm_launches import agents_alive, exit_of, fork, is_forked
from tests.support.waiting import wait_for

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
