"""`hostmanager check`: classes and arguments, asked of agents that were never started.

Plugins are modules and metadata in the working directory, as `python -m` finds them there.
"""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml
from tests.support.users import needs_root
from tests.support.waiting import wait_for

from hostmanager.cli.main import main
from hostmanager.siteconfig.plugins.argument_probe import ArgumentProbe

PARSER = "import argparse\nparser = argparse.ArgumentParser()\n"


@pytest.fixture
def agents(tmp_path):
    """Write agents, one module and one class each: ``agents(one="source")`` is class `One`."""

    def write(**sources):
        for name, source in sources.items():
            (tmp_path / f"{name}_agent.py").write_text(source)
        classes = {name.title(): {"module": f"{name}_agent"} for name in sources}
        (tmp_path / "mine.py").write_text(f"agents = {classes!r}\n")
        info = tmp_path / "mine_dist-1.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine_dist\n")
        (info / "entry_points.txt").write_text("[ocs.plugins]\nmine = mine\n")
        return tmp_path

    return write


@pytest.fixture
def check(tmp_path, capsys):
    """Check entries of host `daq1`, which this machine is, unless told."""

    def go(*entries, words=("--site-host", "daq1"), other=(), hub=()):
        data = {
            "hub": {
                **{"wamp_server": "ws://127.0.0.1:9/ws", "wamp_realm": "r", "address_root": "o"},
                **{"wamp_http": "http://127.0.0.1:9/call", **dict(hub)},
            },
            "hosts": {
                "daq1": {"agent-instances": list(entries)},
                "daq2": {"agent-instances": list(other)},
            },
        }
        file = tmp_path / "site.yaml"
        file.write_text(yaml.safe_dump(data, sort_keys=False, width=1000))
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["check", "--offline", "--working-dir", str(tmp_path), *words, str(file)])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        lines = [line.removeprefix(f"{file}:") for line in printed.out.splitlines()]
        return end.value.code, lines, printed.err

    return go


def entry(name, agent_class, *arguments, **more):
    return {
        "instance-id": name,
        "agent-class": agent_class,
        "arguments": list(arguments),
        **more,
    }


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


# --- arguments ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "location", "expected"),
    [
        (["--mode", "acqq"], "13:9:", "argument --mode: invalid choice: 'acqq'"),
        (["--mde", "acq"], "12:9:", "unrecognized arguments: --mde acq. Did you mean '--mode'?"),
        (["--sample-rate", "x"], "13:9:", "argument --sample-rate: invalid float value: 'x'"),
        (["--sample", "x"], "13:9:", "argument --sample-rate: invalid float value: 'x'"),
        (["--num-channels"], "12:9:", "argument --num-channels: expected one argument"),
        (["--mode=acqq"], "12:9:", "argument --mode: invalid choice: 'acqq'"),
        (["--help"], "12:7:", "they make the agent print something and exit"),
    ],
)
def test_the_parser_of_the_agent_is_asked_and_the_word_is_found(
    check, arguments, location, expected
):
    code, lines, _ = check(entry("a", "FakeDataAgent", *arguments))
    assert code == 1
    (line,) = lines
    assert line.startswith(f"{location} error: a: FakeDataAgent refuses its arguments: {expected}")


def test_good_arguments_are_good(check):
    good = [["--mode", "acq"], "--sample-rate", 4.5, "--num-channels=3", "--mode", "idle"]
    code, lines, _ = check(entry("a", "FakeDataAgent", *good), entry("b", "TinyAgent", "--leave"))
    assert code == 0
    assert ["second time" in line for line in lines] == [True]


def test_the_site_options_are_taken_as_ocs_takes_them(check):
    ok = entry("a", "FakeDataAgent", "--site-host", "x", "--log-dir", "y", "--instance-id", "b")
    assert check(ok)[:2] == (0, [])
    assert check(entry("a", "FakeDataAgent", "--crossbar-timeout", "x"))[0] == 1


FOUND = {
    "by_its_usual_name": "def make_parser(parser=None):\n    {p}",
    "by_its_other_name": "def add_agent_args(parser_in=None):\n    {p}",
    "with_a_parser_to_fill": "def add_agent_args(parser):\n    parser.add_argument('--x', type=int)"
    "\n    return parser",
    "in_main": "from ocs import site_config\ndef main(args=None):\n    {p0}\n"
    "    args = site_config.parse_args(agent_class='One', parser=parser, args=args)\n"
    "    open('started', 'w')",
    "in_main_imported_by_name": "from ocs.site_config import parse_args\ndef main(args=None):\n"
    "    {p0}\n    args = parse_args('One', parser, args)\n    open('started', 'w')",
    "in_main_that_catches_all": "from ocs import site_config\ndef main(args=None):\n    {p0}\n"
    "    try:\n"
    "        args = site_config.parse_args('One', parser, args)\n    except BaseException:\n"
    "        open('started', 'w')",
    "in_main_that_parses_itself": "def main(args=None):\n    {p0}\n    parser.parse_args(args)\n"
    "    open('started', 'w')",
}


@pytest.mark.parametrize("how", FOUND)
def test_a_parser_is_found_wherever_it_is_and_nothing_is_started(agents, check, how):
    made = PARSER.replace("\n", "\n    ") + "parser.add_argument('--x', type=int)"
    source = "import argparse\n" + FOUND[how].format(p=f"{made}\n    return parser", p0=made)
    directory = agents(one=source)
    code, lines, remarks = check(entry("a", "One", "--x", "1"), entry("b", "One", "--x", "one"))
    assert (code, len(lines)) == (1, 1), remarks
    assert "b: One refuses its arguments: argument --x: invalid int value: 'one'" in lines[0]
    assert not (directory / "started").exists()


DOING = {
    "connects": "import socket; socket.create_connection(('127.0.0.1', 9))",
    "listens": "import socket; socket.create_server(('127.0.0.1', 0))",
    "writes": "open('started', 'w')",
    "opens_a_device": "import os; os.open('started', os.O_RDWR | os.O_CREAT)",
    "starts": "import subprocess; subprocess.Popen(['touch', 'started'])",
    "starts_by_shell": "import os; os.system('touch started')",
    "forks": "import os; os.fork() or open('started', 'w')",
    "makes": "import os; os.mkdir('started')",
}


@pytest.mark.parametrize("what", DOING)
def test_an_agent_that_begins_to_work_before_it_parses_is_stopped(agents, check, what):
    made = PARSER.replace("\n", "\n    ")
    source = f"def main(args=None):\n    {made}{DOING[what]}\n    parser.parse_args(args)\n"
    directory = agents(one=source)
    code, lines, remarks = check(entry("a", "One", "--x"))
    assert (code, lines) == (0, [])
    assert "not checked: arguments of 1 agent of class One: its parser was not found" in remarks
    assert not (directory / "started").exists()


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


def test_options_that_are_ocs_own_are_refused_to_all(agents, check):
    made = f"{PARSER}parser.add_argument('--log-dir')\n"
    agents(one=f"{made}def make_parser():\n    return parser\n")
    code, lines, _ = check(entry("a", "One"), entry("b", "One"))
    assert (code, len(lines)) == (1, 2)
    assert "conflicting option string: --log-dir" in lines[0]


# --- agents that misbehave ------------------------------------------------------------------

BAD = {
    "crashes": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    "leaves": (
        "import os; os.write(2, b'so long\\n'); os._exit(7)",
        "(exit code 7); last output",
    ),
    "exits": ("raise SystemExit('no licence')", "cannot be imported (SystemExit: no licence)"),
    "interrupts": ("raise KeyboardInterrupt", "(exit code 1)"),
    "hangs": (
        "import subprocess, time; subprocess.Popen(['sleep', '300.25']); time.sleep(300)",
        "timed out after 2 s",
    ),
    "has_no_main": ("x = 1", "its parser was not found"),
    "fails": ("def make_parser():\n    raise ValueError('no')", "its parser was not found"),
}
GOOD = f"{PARSER}parser.add_argument('--x', type=int)\ndef make_parser():\n    return parser\n"


def test_whatever_an_agent_does_costs_its_own_line_alone(agents):
    noise = (
        "import os; print('{}'); os.write(1, b'{\"class\": \"Good\"}\\n'); os.system('echo junk')\n"
    )
    directory = agents(**{name: source for name, (source, _) in BAD.items()}, good=noise + GOOD)
    modules = {name.title(): f"{name}_agent" for name in (*BAD, "good")}
    asking = ArgumentProbe(cwd=directory)
    result = asking.run({name: [("--x", "1"), ("--x", "y")] for name in modules}, modules, 2.0)
    assert result["Good"].rejections == (None, "argument --x: invalid int value: 'y'")
    for name, (_, expected) in BAD.items():
        answer = result[name.title()]
        assert answer.rejections == ()
        assert expected in (answer.unknown_reason or ""), name

    def sleeping():
        processes = psutil.process_iter(["cmdline"])
        return [p for p in processes if p.info["cmdline"] == ["sleep", "300.25"]]

    wait_for(lambda: not sleeping(), 10, "the end of what was killed", sleeping)


def test_ctrl_c_leaves_nothing_of_an_agent_that_hangs(agents, tmp_path):
    directory = agents(
        one="import os, time; print(os.getpid(), file=open('pid', 'w')); time.sleep(300)"
    )
    hub = {"wamp_server": "ws://a/ws", "wamp_realm": "r", "address_root": "o"}
    data = {"hub": hub, "hosts": {"d": {"agent-instances": [entry("a", "One")]}}}
    (directory / "site.yaml").write_text(yaml.safe_dump(data))
    command = [str(Path(sys.executable).parent / "hostmanager"), "check", "--offline"]
    command += ["--working-dir", ".", "site.yaml"]  # where plugins are found, too
    process = subprocess.Popen(command, cwd=directory, stderr=subprocess.PIPE, text=True)

    def hanging():
        text = (directory / "pid").read_text() if (directory / "pid").exists() else ""
        return int(text) if text.strip() else None

    pid = wait_for(hanging, 30, "the agent's import")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert process.stderr.read() == "hostmanager check: Interrupted.\n"
    wait_for(lambda: not psutil.pid_exists(pid) or is_zombie(pid), 20, "its end")


def is_zombie(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


STARTERS = ("hostmanager/__init__", "ocs/__init__", "yaml", "json", "email/__init__", "argparse")
"""Modules that a check imports; in somebody's directory they are other people's code."""


@pytest.mark.parametrize("arguments", [(), ("--working-dir", ".")])
def test_nothing_of_the_current_directory_is_executed_in_place_of_what_is_installed(
    tmp_path, arguments
):
    for name in STARTERS:
        file = tmp_path / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text("import os; os.close(os.open('/proc/self/cwd/executed', os.O_CREAT))\n")
    hub = {"wamp_server": "ws://a/ws", "wamp_realm": "r", "address_root": "o"}
    agent = entry("a", "FakeDataAgent", "--mode", "acq")
    data = {"hub": hub, "hosts": {"d": {"agent-instances": [agent]}}}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(data))
    command = [str(Path(sys.executable).parent / "hostmanager"), "check", "--offline", *arguments]
    result = subprocess.run(
        [*command, "site.yaml"], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert "FakeDataAgent" not in result.stdout, "the class was not found"
    assert result.returncode == 0, result
    assert not (tmp_path / "executed").exists()


def test_a_process_that_cannot_be_started_is_an_answer(tmp_path):
    asking = ArgumentProbe(tmp_path / "python", tmp_path)
    answer = asking.run({"A": [()]}, {"A": "a"})["A"]
    assert "cannot be started" in (answer.unknown_reason or "")
    asking = ArgumentProbe(cwd=tmp_path / "gone")
    assert asking.run({"A": [()]}, {"A": "a"})["A"].unknown_reason
    ArgumentProbe(cwd=tmp_path).close()


def test_parsers_that_fail_over_arguments_refuse_them(agents, check):
    odd = "def bad(text):\n    raise RuntimeError('boom')\nparser.add_argument('--x', type=bad)\n"
    agents(one=f"{PARSER}{odd}def make_parser():\n    return parser\n")
    code, lines, _ = check(entry("a", "One", "--x", "1"))
    assert code == 1
    assert "its parser fails because of them (RuntimeError: boom)" in lines[0]


# --- managers and directories -------------------------------------------------------------------


def manager(*arguments, name="hm-daq1"):
    return entry(name, "HostManager", *arguments)


@pytest.mark.parametrize(
    ("arguments", "argv"),
    [
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
    ],
)
def test_the_arguments_of_a_manager_are_checked(check, arguments, argv):
    code, lines, _ = check(manager(*arguments))
    assert code == 1
    (line,) = lines
    assert argv in line


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
