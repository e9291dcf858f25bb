"""`hostmanager check`: classes of agents, and managers; what is not installed, or not there."""

import sys

import pytest
import yaml
from tests.integration.command.entries import entry, make_agents, make_check, manager
from tests.support.users import needs_root

from hostmanager.cli.main import main
from hostmanager.siteconfig.plugins.argument_probe import ArgumentProbe

agents = pytest.fixture(make_agents)
check = pytest.fixture(make_check)


# --- classes --------------------------------------------------------------------------------


def test_a_class_that_is_not_installed_is_an_error_on_this_host_only(check):
    code, lines, _ = check(entry("a", "FakeDataAgnet"))
    assert code == 1
    assert lines == [
        "10:20: error: a: no installed OCS plugin provides the agent class 'FakeDataAgnet'. "
        "Did you mean 'FakeDataAgent'? Fix the class name, or install the plugin."
    ]
    code, lines, _ = check(other=[entry("a", "FakeDataAgnet")])
    assert (code, len(lines)) == (0, 1)
    assert "warning: a: no installed" in lines[0]
    assert check(entry("a", "FakeDataAgnet"), words=["--elsewhere"])[0] == 0


def test_a_class_of_another_host_that_is_like_nothing_here_is_only_noted(check):
    others = [entry("a", "ACUAgent"), entry("b", "LS372Agent"), entry("c", "ACUAgent")]
    code, lines, remarks = check(other=others)
    assert (code, lines) == (0, [])
    assert (
        "not checked: 3 agents of classes that no plugin here provides, so whether the names are "
        "right cannot be known: ACUAgent, LS372Agent." in (remarks)
    )


def test_only_a_class_that_a_plugin_provides_is_proposed(check):
    """OCS's documentation has two of them in one file, and both are right where socs is."""
    others = [entry(f"a{n}", "Lakeshore240Agent") for n in range(3)]
    code, lines, remarks = check(other=[*others, entry("b", "Lakeshore372Agent")])
    assert (code, lines) == (0, [])
    assert "cannot be known: Lakeshore240Agent, Lakeshore372Agent." in remarks
    code, lines, _ = check(*others, entry("b", "Lakeshore372Agent"))
    assert code == 1
    assert ["Did you mean" in line for line in lines] == [False]


def test_what_runs_in_a_container_needs_no_plugin_here(check):
    code, lines, _ = check(
        manager(), entry("a", "Whatever", manage="docker"), entry("b", "No", manage="ignore")
    )
    assert (code, lines) == (0, [])


def test_an_agent_that_cannot_be_imported_cannot_be_started_here(agents, check):
    agents(one="import nothing_like_that")
    code, lines, _ = check(entry("a", "One"), other=[entry("b", "One")])
    assert code == 1
    (line,) = lines
    assert "a: the agent class 'One' cannot be started: one_agent cannot be imported" in line
    assert "No module named 'nothing_like_that'" in line
    code, lines, _ = check(other=[entry("b", "One")])
    assert code == 0
    (line,) = lines
    assert "warning: b: the agent class 'One' could not be started on this machine: one_a" in line
    assert line.endswith("Make sure that it can be imported on host 'daq2'.")
    code, lines, remarks = check(manager(), entry("b", "One", manage="docker/up"))
    assert (code, lines) == (0, [])
    assert "not checked: arguments of 1 agent of class One: one_agent cannot be imported" in remarks


def test_an_agent_without_the_function_that_starts_it_is_an_error(agents, check):
    agents(one="def mian(args=None):\n    pass")
    code, (line,), _ = check(entry("a", "One"))
    assert code == 1
    assert "cannot be started: one_agent has no function 'main' to start it with." in line


def test_a_library_that_many_agents_lack_is_named_once(agents, check):
    agents(
        one="import nothing_like_that", two="import nothing_like_that", three="import OpenSSLx.SSL"
    )
    mine = [entry("a", "One"), entry("b", "Two"), entry("c", "One")]
    code, lines, _ = check(*mine, entry("d", "Three"))
    assert (code, len(lines)) == (1, 2)
    assert lines[0].endswith(
        ": error: 3 agents cannot be started: ModuleNotFoundError: No module named "
        "'nothing_like_that'. They are a, c (One), b (Two). Install what is missing."
    )
    assert "error: d: the agent class 'Three' cannot be started: three_agent cannot" in lines[1]
    code, lines, _ = check(other=mine)
    assert code == 0
    (line,) = lines
    assert ": warning: 3 agents could not be started on this machine: ModuleNotFound" in line
    code, lines, remarks = check(other=mine, words=["--elsewhere"])
    assert (code, lines) == (0, [])
    assert "not checked: arguments of 3 agents of classes One, Two: ModuleNotFoundErr" in remarks


def test_without_openssl_no_agent_of_this_host_can_use_tls(check, monkeypatch):
    monkeypatch.setitem(sys.modules, "OpenSSL", None)  # as if it was not installed
    hub = {"wamp_server": "wss://127.0.0.1:9/ws"}
    mine = [entry("a", "FakeDataAgent"), entry("b", "FakeDataAgent")]
    code, lines, _ = check(*mine, hub=hub.items())
    assert (code, len(lines)) == (1, 1)
    assert lines[0].endswith(
        "the library OpenSSL is not installed. Install it: pip install 'twisted[tls]'."
    )
    assert check(*mine)[:2] == (0, [])
    assert check(*mine, hub=hub.items(), words=["--elsewhere"])[:2] == (0, [])


def test_plugins_that_are_not_here_are_missed_once(check):
    mine = [entry("a", "ACUAgent"), entry("b", "LS372Agent"), entry("c", "ACUAgent")]
    code, lines, _ = check(*mine, entry("d", "FakeDataAgnet"))
    assert (code, len(lines)) == (1, 2)
    assert (
        "error: no installed OCS plugin provides the classes of 3 agents: a, c (ACUAgent), "
        "b (LS372Agent). Fix the class name, or install the plugin."
    ) in lines[0]
    assert "Did you mean 'FakeDataAgent'?" in lines[1]


# --- managers and directories -------------------------------------------------------------------


REFUSED = (
    (["--initial-state", "upp"], "argument --initial-state: invalid choice: 'upp'"),
    (["--initial-stat", "up"], "unrecognized arguments: --initial-stat up. Did you mean"),
    (["--min-privs", "9"], "argument --min-privs: invalid choice: 9"),
    (["--stop-timeout", "0"], "'0' must be more than 0 seconds"),
    (["--help"], "they contain a request for help"),
    (
        ["--working-dir", "/no/such/directory"],
        "--working-dir: /no/such/directory is not a directory here",
    ),
    (["--docker-compose-bin", "/no/such"], "/no/such is not an executable file"),
)


def test_the_arguments_of_a_manager_are_checked(check):
    names = [f"hm{number}" for number in range(len(REFUSED))]
    code, lines, _ = check(
        *(manager(*each[0], name=name) for name, each in zip(names, REFUSED, strict=True))
    )
    assert code == 1
    lines = [line for line in lines if "second HostManager" not in line]
    assert len(lines) == len(REFUSED)
    for name, (_, why), line in zip(names, REFUSED, lines, strict=True):
        assert f"error: {name}: " in line
        assert why in line


def test_the_manager_inside_ocs_is_never_imported(check, tmp_path):
    code, _, _ = check(manager("--quiet"), entry("a", "FakeDataAgent"))
    assert code == 0
    asking = ArgumentProbe(cwd=tmp_path)
    assert asking.run({"HostManager": [()]}, {"HostManager": "never"}) == {}


def test_a_word_for_manage_needs_somebody_who_reads_it(check):
    code, lines, _ = check(
        entry("a", "FakeDataAgent", manage="host/up"), entry("b", "FakeDataAgent", manage="up")
    )
    assert code == 0
    (line,) = lines
    assert line.startswith("7:3: warning: host 'daq1' has no instance of class HostManager: no ma")
    assert "although 'a' (line 12) asks for one with 'manage: host/up'." in line
    assert check(entry("a", "FakeDataAgent"))[1] == []


def test_the_access_policy_is_checked(check):
    director = entry("access", "AccessDirector")
    assert check(director, hub={"access_policy": "director:access"})[:2] == (0, [])
    code, lines, _ = check(director, hub={"access_policy": "director:acces"})
    assert code == 1
    assert (
        "the access director 'acces' is not an instance of this site. Did you mean 'access'?"
        in lines[0]
    )
    code, lines, _ = check(hub={"access_policy": "overide:secret1,secret2"})
    assert code == 1
    assert "secret" not in "".join(lines)


def test_directories_are_checked_on_this_host_and_on_no_other(tmp_path, capsys):
    gone = {"bin": "/no/such/bin", "config-dir": "/no/such/dir"}
    block = {"log-dir": "/no/such/directory", "crossbar": gone, "agent-instances": []}
    hub = {"wamp_server": "ws://a/ws", "wamp_realm": "r", "address_root": "o"}
    file = tmp_path / "directories.yaml"
    data = {"hub": hub, "hosts": {"daq1": block, "daq2": {**block, "crossbar": None}}}
    file.write_text(yaml.safe_dump(data, sort_keys=False))

    def problems_of(*arguments):
        with pytest.raises(SystemExit):
            main(["check", "--offline", *arguments, str(file)])
        return [line.removeprefix(f"{file}:") for line in capsys.readouterr().out.splitlines()]

    assert problems_of("--site-host", "daq1") == [
        "7:14: warning: the log-dir /no/such/directory does not exist. Agents' output goes to the "
        "manager's state directory then.",
        "9:12: error: 'bin' is '/no/such/bin', which is not an executable file here.",
        "10:19: error: 'config-dir' is '/no/such/dir', which is not a directory that "
        "contains config.json here.",
    ]
    assert len(problems_of("--site-host", "daq2")) == 1
    assert problems_of("--elsewhere") == []


@needs_root
def test_a_log_dir_that_root_will_not_use_is_named(tmp_path, capsys):
    logs = tmp_path / "logs"
    logs.mkdir()
    logs.chmod(0o777)
    file = tmp_path / "site.yaml"
    hub = {"wamp_server": "ws://a/ws", "wamp_realm": "r", "address_root": "o"}
    hosts = {"daq1": {"log-dir": str(logs), "agent-instances": []}}
    file.write_text(yaml.safe_dump({"hub": hub, "hosts": hosts}, sort_keys=False))
    with pytest.raises(SystemExit):
        main(["check", "--offline", "--site-host", "daq1", str(file)])
    first = capsys.readouterr().out.splitlines()[0]
    assert first == (
        f"{file}:7:14: warning: the log-dir {logs} is not used by a manager that runs as root, "
        f"since {logs} can be written by everybody (mode 0777); it has to be root's, with mode "
        "0755 or less, and so has each directory above it. Agents' output goes to the manager's "
        "state directory then."
    )
