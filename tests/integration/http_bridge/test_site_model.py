"""The whole site, read from a file that is not right everywhere."""

import pytest
import yaml
from tests.support.http_bridge import child, session

from hostmanager.siteconfig.site_file import load_all_hosts


def test_one_broken_block_costs_that_host_alone(bridge, site_file, run):
    bridge.write(site_file, daq1=["a"], daq2=["b"])
    text = site_file.read_text()
    site_file.write_text(text.replace("  daq2:\n", "  daq2:\n    crossbar_timeout: soon\n"))
    for host, name in (("daq1", "a"), ("daq2", "b")):
        bridge.sessions[f"hm-{host}"] = {"manager": session(child(name))}
    files = load_all_hosts(site_file)
    assert [(name, file.is_usable) for name, file in files.items()] == [
        ("daq1", True),
        ("daq2", False),
    ]
    outcome = run("status", "--json")
    hosts = {host["host"]: host for host in outcome.json["hosts"]}
    assert (hosts["daq1"]["severity"], hosts["daq2"]["severity"]) == ("ok", "warning")
    assert "'crossbar_timeout' is 'soon'" in hosts["daq2"]["reasons"][0]
    outcome = run("diff")
    assert outcome.code == 1
    first, second, third = outcome.out.splitlines()
    assert (first, second) == ("daq1: no change", "daq2:")
    assert third.startswith("  ! ")
    assert "'crossbar_timeout'" in third


def test_a_file_that_cannot_be_read_is_reported_with_what_works_until_it_is_fixed(
    bridge, site_file, run
):
    bridge.write(site_file, daq1=["a"])
    bridge.sessions["hm-daq1"] = {"manager": session(child("a"))}
    good = site_file.read_text()
    site_file.write_text(f"{good}\n  daq2: [\n")
    result = run("status")
    assert (result.code, result.out) == (2, "")
    first, second = result.err.splitlines()
    assert f"{site_file}:" in first
    assert "the YAML cannot be read" in first
    assert "use --site-file with an older copy of it" in second
    site_file.unlink()
    result = run("status")
    assert result.err.splitlines() == [f"hostmanager status: {site_file}: there is no such file."]
    older = site_file.with_name("older.yaml")
    older.write_text(good)
    assert run("status", "--site-file", str(older)).code == 0


def test_a_broken_entry_of_the_manager_itself_is_reported_and_is_not_fine(bridge, site_file, run):
    bridge.write(site_file, daq1=["a"], daq2=["b"])
    text = site_file.read_text()
    broken = {"instance-id": "hm-daq2", "agent-class": "HostManager", "manage": 7}
    data = yaml.safe_load(text)
    data["hosts"]["daq2"]["agent-instances"][0] = broken
    site_file.write_text(yaml.safe_dump(data, sort_keys=False))
    bridge.sessions["hm-daq1"] = {"manager": session(child("a"))}
    result = run("status")
    assert "daq2 it has no entry of class HostManager that can be used" in result.out
    (line,) = [line for line in result.out.splitlines() if "'manage'" in line and "·" in line]
    assert "hm-daq2" in line
    (second,) = [h for h in run("status", "--json").json["hosts"] if h["host"] == "daq2"]
    assert second["severity"] == "warning"


@pytest.mark.parametrize("status", ["running", "stopping", "done"])
def test_each_error_is_reported_once_whatever_the_manager_does_and_says(
    bridge, site_file, run, status
):
    bridge.write(site_file, daq1=["a"])
    data = yaml.safe_load(site_file.read_text())
    data["hosts"]["daq1"]["agent-instances"] += [
        {"instance-id": "b", "agent-class": "B", "manage": 7, "arguments": 3},
        {"agent-class": "Nameless"},
    ]
    site_file.write_text(yaml.safe_dump(data, sort_keys=False))
    errors = [p for p in load_all_hosts(site_file)["daq1"].diagnostics if p.is_error]
    assert len(errors) == 3
    message = f"1 instance, 3 errors: {errors[0]}"
    answer = session(child("a"), child("b"))
    answer["data"]["config_parse_status"] = {"[SCF]": [False, 0.0, message]}
    bridge.sessions["hm-daq1"] = {"manager": {**answer, "status": status}}
    out = run("status").out.partition("agent ")[0]
    for error in errors:
        assert out.count(str(error).rstrip(".")) == 1, (str(error), out)


def test_a_block_that_is_no_block_has_no_agents_and_ends_none(bridge, site_file, run):
    bridge.write(site_file, daq1=["a"])
    site_file.write_text(site_file.read_text() + "  daq2: nothing\n")
    bridge.sessions["hm-daq1"] = {"manager": session(child("a"))}
    result = run("status")
    assert result.code == 0
    assert "· daq2 " in result.out
    assert run("diff", "--host", "daq2").code == 2


def test_a_broken_entry_is_left_as_it_is_by_a_reload(bridge, site_file, run):
    broken = {"instance-id": "b", "agent-class": "B", "manage": "yess"}
    bridge.write(site_file, daq1=["a", broken])
    bridge.sessions["hm-daq1"] = {"manager": session(child("a"), child("b"), child("c"))}
    result = run("diff", "--json")
    changes = result.json["hosts"][0]["changes"]
    assert [(c["what"], c["instance_id"]) for c in changes] == [("stop", "c"), ("broken", "b")]


def test_the_block_of_this_machine_says_where_the_router_is(bridge, site_file, run):
    bridge.write(site_file, daq1=["a"])
    bridge.sessions["hm-daq1"] = {"manager": session(child("a"))}
    text = site_file.read_text().replace(bridge.url, "http://127.0.0.1:9/call")
    text = text.replace("  daq1:\n", f"  daq1:\n    wamp_http: {bridge.url}\n")
    site_file.write_text(text)
    assert run("status").code == 3
    assert run("status", "--site-host", "daq1").code == 0
    assert run("status", "--site-http", bridge.url).code == 0


def test_the_site_is_found_as_ocs_finds_it(bridge, site_file, run, monkeypatch, capsys):
    bridge.write(site_file, daq1=["a"])
    bridge.sessions["hm-daq1"] = {"manager": session(child("a"))}
    result = run("status", "--site", "other")
    assert result.code == 2
    assert "--site and --site-file are both given" in result.err
    assert "this command cannot" in run("status", "--site", "none").err
