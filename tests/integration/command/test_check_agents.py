"""`hostmanager check`: arguments, asked of agents that were never started."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml
from tests.integration.command.entries import PARSER, entry, make_agents, make_check
from tests.support.waiting import wait_for

from hostmanager.siteconfig.plugins.argument_probe import ArgumentProbe

agents = pytest.fixture(make_agents)
check = pytest.fixture(make_check)


REFUSED = (
    # arguments, the line after that of the first word, the column, why
    (["--mode", "acqq"], 1, 9, "argument --mode: invalid choice: 'acqq'"),
    (["--mde", "acq"], 0, 9, "unrecognized arguments: --mde acq. Did you mean '--mode'?"),
    (["--sample-rate", "x"], 1, 9, "argument --sample-rate: invalid float value: 'x'"),
    (["--sample", "x"], 1, 9, "argument --sample-rate: invalid float value: 'x'"),
    (["--num-channels"], 0, 9, "argument --num-channels: expected one argument"),
    (["--mode=acqq"], 0, 9, "argument --mode: invalid choice: 'acqq'"),
    (["--help"], 0, 7, "they make the agent print something and exit"),
)


def test_the_parser_of_the_agent_is_asked_and_the_word_is_found(check):
    entries, expected, line = [], [], 12
    for number, (arguments, below, column, why) in enumerate(REFUSED):
        entries.append(entry(f"a{number}", "FakeDataAgent", *arguments))
        place = f"{line + below}:{column}: error: a{number}"
        expected.append(f"{place}: FakeDataAgent refuses its arguments: {why}")
        line += 3 + len(arguments)
    code, lines, _ = check(*entries)
    assert code == 1
    assert len(lines) == len(expected)
    for shown, text in zip(lines, expected, strict=True):
        assert shown.startswith(text)


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


def test_a_parser_is_found_wherever_it_is_and_nothing_is_started(agents, check):
    made = PARSER.replace("\n", "\n    ") + "parser.add_argument('--x', type=int)"
    sources = {
        how: "import argparse\n" + text.format(p=f"{made}\n    return parser", p0=made)
        for how, text in FOUND.items()
    }
    directory = agents(**sources)
    entries = []
    for how in FOUND:
        entries.append(entry(f"{how}-a", how.title(), "--x", "1"))
        entries.append(entry(f"{how}-b", how.title(), "--x", "one"))
    code, lines, remarks = check(*entries)
    assert (code, len(lines)) == (1, len(FOUND)), remarks
    for how, line in zip(FOUND, lines, strict=True):
        refused = f"{how}-b: {how.title()} refuses its arguments: argument --x: invalid int value"
        assert refused in line
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


def test_an_agent_that_begins_to_work_before_it_parses_is_stopped(agents, check):
    made = PARSER.replace("\n", "\n    ")
    main = "def main(args=None):\n    {made}{deed}\n    parser.parse_args(args)\n"
    directory = agents(**{w: main.format(made=made, deed=deed) for w, deed in DOING.items()})
    code, lines, remarks = check(*(entry(what, what.title(), "--x") for what in DOING))
    assert (code, lines) == (0, [])
    classes = ", ".join(map(str.title, DOING))
    assert (
        f"not checked: arguments of {len(DOING)} agents of classes {classes}: its parser was not found"
    ) in remarks
    assert not (directory / "started").exists()


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
        "timed out after 5 s",
    ),
    "has_no_main": ("x = 1", "has_no_main_agent has no function 'main' to start it with"),
    "fails": (
        "def make_parser():\n    raise ValueError('no')\ndef main(args=None):\n    pass",
        "its parser was not found",
    ),
}
GOOD = f"{PARSER}parser.add_argument('--x', type=int)\ndef make_parser():\n    return parser\n"


def test_whatever_an_agent_does_costs_its_own_line_alone(agents):
    noise = (
        "import os; print('{}'); os.write(1, b'{\"class\": \"Good\"}\\n'); os.system('echo junk')\n"
    )
    directory = agents(**{name: source for name, (source, _) in BAD.items()}, good=noise + GOOD)
    modules = {name.title(): f"{name}_agent" for name in (*BAD, "good")}
    asking = ArgumentProbe(cwd=directory)
    result = asking.run({name: [("--x", "1"), ("--x", "y")] for name in modules}, modules, 5.0)
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
