"""Each hint of `status` is tested by doing what it says, on a real manager (field case 41)."""

import re
import shlex
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.router.cli_site import CliSite, make_cli_site
from tests.support.clients import client
from tests.support.processes import processes_of
from tests.support.sites import instance
from tests.support.waiting import wait_for

cli_site = pytest.fixture(make_cli_site)

Entries = list[dict[str, Any]]


def without_id(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with a typing error in the key `instance-id`."""
    return {("instance_id" if key == "instance-id" else key): v for key, v in entry.items()}


@dataclass
class Case:
    """A change of the site config, the words of the hint for `a`, and what has to be so then."""

    after: Entries
    hint: str
    state: str | None
    same_process: bool = False
    before: tuple[dict[str, Any], ...] = (instance("a"), instance("b"))
    told: tuple[str, ...] = ()


B = instance("b")
RELOADS = {
    "an entry is gone": Case([B], "would stop it", None),
    "an entry of one that is down is gone": Case(
        [B], "removes it; it is down", None, told=("down", "a")
    ),
    "its id is mistyped": Case([B, without_id(instance("a"))], "would keep it", "up", True),
    "it is ignored now": Case([B, instance("a", manage="ignore")], "would stop it", "-"),
    "it is new": Case([B, instance("a")], "starts it", "up", before=(B,)),
    "it is new and down": Case(
        [B, instance("a", manage="host/down")],
        "adds it, and leaves it down",
        "down",
        before=(B,),
    ),
    "another class that is not installed": Case(
        [B, instance("a", agent_class="TinyAgent2")],
        "would stop it, then start the new one if its class is installed there",
        "?",
    ),
    "another class that is installed": Case(
        [B, instance("a", agent_class="FakeDataAgent")],
        "would stop it, then start the new one if its class is installed there",
        "up",
    ),
    "other arguments": Case(
        [B, instance("a", "--tag", "new")],
        "keeps running as it is until it is restarted",
        "up",
        True,
    ),
}


def hint_of(cli_site: CliSite, reasons: list[str]) -> tuple[str, str]:
    """The command in a reason, and the words after it."""
    (found,) = {m.groups() for r in reasons if (m := re.search(r"`(hostmanager [^`]*)` ?(.*)", r))}
    return found


@pytest.mark.parametrize("case", RELOADS.values(), ids=RELOADS.keys())
def test_a_reload_does_what_its_hint_says(cli_site, case):
    cli_site.write(daq1=list(case.before))
    cli_site.start("daq1")
    names = [entry["instance-id"] for entry in case.before]
    wait_for(lambda: set(cli_site.states().values()) == {"up"}, 20, "all to be up", cli_site.states)
    cli_site.wait_minding(*names)
    if case.told:
        cli_site.run(*case.told)
    before = processes_of(cli_site.site).get("a")
    cli_site.write(daq1=case.after)

    command, words = hint_of(cli_site, cli_site.status()["a"]["reasons"])
    assert words.endswith(case.hint) or case.hint in words
    cli_site.run(*shlex.split(command)[1:], "--yes")

    def as_said() -> bool:
        agent = cli_site.status().get("a")
        return (agent and agent["state"]) == case.state

    wait_for(as_said, 20, f"a to be {case.state}", cli_site.status)
    if case.state != "up":
        assert not processes_of(cli_site.site).get("a")
    elif before:
        assert (processes_of(cli_site.site)["a"] == before) is case.same_process


def test_the_hint_for_a_stopped_manager_process_starts_it_with_all_agents(cli_site):
    cli_site.write(testhost=[instance("a"), instance("b")])
    cli_site.start("testhost")
    manager = client(cli_site.site)
    manager.manager.stop()
    manager.manager.wait(timeout=60)
    (host,) = cli_site.run("status", "--json").json["hosts"]
    command, words = hint_of(cli_site, host["reasons"])
    assert words == "starts it again, with all of its agents"
    assert cli_site.run(*shlex.split(command)[1:]).code == 0
    assert cli_site.states() == {"a": "up", "b": "up"}


def test_the_differences_are_one_line_and_the_diff_shows_them(cli_site):
    cli_site.write(daq1=[instance("a"), instance("b"), instance("c")])
    cli_site.start("daq1")
    cli_site.write(
        daq1=[instance("b", "--tag", "new"), instance("c"), *(instance(f"n{i}") for i in range(4))]
    )
    (host,) = cli_site.run("status", "--json").json["hosts"]
    (reason,) = host["reasons"]
    assert "(new: n0, n1, n2 and 1 more; gone: a; changed: b)" in reason
    command, _ = hint_of(cli_site, host["reasons"])
    changes = cli_site.run(*shlex.split(command)[1:]).out
    for name in ("n0", "n3", "a", "b"):
        assert re.search(rf"\b{name}\b", changes)
    assert "c" not in changes.split()


def test_undone_by_hand_as_the_documentation_says(cli_site):
    cli_site.write(daq1=[instance("a"), instance("b")])
    cli_site.start("daq1")
    wait_for(lambda: set(cli_site.states().values()) == {"up"}, 20, "all to be up", cli_site.states)
    cli_site.wait_minding("a", "b")
    cli_site.run("down", "a", "--reason", "pump exchange")
    done = cli_site.run("status")
    assert done.code == 0
    assert "all OK" not in done.out
    assert "1 warning" in done.out
    (reason,) = cli_site.status()["a"]["reasons"]
    assert re.fullmatch(
        r"stopped by hand just now by \S+@\S+ \(config: up\): pump exchange", reason
    )
    assert cli_site.run("up", "--as-configured").code == 0
    assert "all OK" in cli_site.run("status").out
