"""Every subcommand with outputs that fail, odd terminals and Ctrl-C: an exit status, no traceback.

The list is that of the command itself, so a new subcommand is tried as well.
"""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hostmanager.cli.main import ALIASES, COMMANDS, command_parser
from tests.integration.router.cli_site import HOSTMANAGER, CliSite
from tests.support.processes import kill_all
from tests.support.sites import Site, instance
from tests.support.waiting import wait_for

WORDS = {
    "run": ["--nonsense"],  # a manager has tests of its own
    "demo": ["--agents", "0"],  # so has the demo
    "web": ["--nonsense"],  # and the page
    "logs": ["fake1"],
    **{name: ["fake1", "--no-wait"] for name in ("up", "restart", "start")},
    **{name: ["fake1", "--dry-run"] for name in ("down", "stop")},
    "die": ["--host", "daq1", "--dry-run"],
    "install-systemd": ["--print"],
    "check": ["--syntax"],  # Ctrl-C while agents are asked: test_check_agents
    "completion": ["bash"],
    "help": ["status"],
}
"""What comes after the name, besides the site config, where it is not nothing."""

THOROUGHLY = {"status", "up", "logs", "top", "check"}
"""Commands with which everything is tried: each prints, waits or draws in a way of its own."""

CODES = {0, 1, 2, 3, 130, 141}
TIMEOUT = 60

INTERRUPT_AT = """
import os, signal, sys
left = int(sys.argv.pop(1))
def interrupt(event, args):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGINT)
from hostmanager.cli.entry_point import main
sys.addaudithook(interrupt)
main()
"""


@pytest.fixture(scope="module")
def running(router, tmp_path_factory):
    """One manager for all of them: it takes longer to start than a command."""
    cli_site = CliSite(Site(tmp_path_factory.mktemp("outputs") / "site", router))
    cli_site.write(daq1=[instance("fake1"), instance("fake2", manage="down")])
    cli_site.start("daq1")
    cli_site.wait_minding("fake1")
    yield cli_site
    cli_site.stop()
    kill_all(cli_site.site)


def words_of(name, running):
    site = ["--site-file", str(running.site.file)]
    parser = command_parser(ALIASES.get(name, name))
    takes_site = name != "run" and "--site-file" in parser._option_string_actions
    return [name, *WORDS.get(name, []), *(site if takes_site else [])]


def wrong(condition, code, text, codes=CODES):
    """Nothing, or what is wrong with the end of a command."""
    text = text if isinstance(text, str) else text.decode(errors="replace")
    bad = [word for word in ("Traceback", "Exception ignored", "Errno") if word in text]
    return [f"{condition}: exit {code}: {bad} {text[-2000:]}"] if bad or code not in codes else []


def shell(words, redirection, **environment):
    command = f'"$@" {redirection}; exit "${{PIPESTATUS[0]}}"'
    done = subprocess.run(
        ["bash", "-c", command, "-", *words],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    return done.returncode, done.stderr + done.stdout


def terminal(words, columns, **environment):
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "LINES": "24", **environment}
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    process = subprocess.Popen([HOSTMANAGER, *words], env=environment, **streams)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
            if words[0] == "top" and b"fake1" in shown:
                os.write(ours, b"q")
    except OSError:  # nobody has it open any more
        pass
    os.close(ours)
    return process.wait(TIMEOUT), shown


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_that_its_outputs_and_its_terminal_do_is_answered_with_a_traceback(running, name):
    words = words_of(name, running)
    if name in THOROUGHLY:
        assert [*fail_outputs(words), *fit_terminals(words), *interrupt(words)] == []
    else:
        problems = wrong("full", *shell([HOSTMANAGER, *words], "> /dev/full 2>&1"))
        problems += wrong("closed", *shell([HOSTMANAGER, *words], "<&- >&- 2>&-"))
        assert [*problems, *interrupt(words, (300,))] == []


def fail_outputs(words):
    """What goes wrong with outputs that are closed, full, broken, or cannot show everything."""
    command = [HOSTMANAGER, *words]
    usual, _ = shell(command, "> /dev/null")
    problems = []
    for redirection in (">&-", "<&- >&- 2>&-"):
        problems += wrong(redirection, *shell(command, redirection), codes={usual})
    for redirection in ("> /dev/full", "> /dev/full 2>&1", "| true"):
        problems += wrong(redirection, *shell(command, redirection))
    for environment in ({"NO_COLOR": "1", "TERM": "dumb"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}):
        problems += wrong(environment, *shell(command, "| cat", **environment), codes={usual})
    return problems


def fit_terminals(words):
    """What goes wrong on terminals that are narrow or dumb."""
    problems = []
    for columns, kind in ((40, "xterm-256color"), (80, "dumb")):
        code, shown = terminal(words, columns, TERM=kind)
        problems += wrong((columns, kind), code, shown)
        if kind == "dumb" and b"\x1b" in shown:
            problems.append(f"control sequences on a dumb terminal: {shown[:500]!r}")
    return problems


def interrupt(words, events=(30, 300, 2000)):
    """What goes wrong with Ctrl-C, early and late."""
    problems = []
    for event in events:
        command = [sys.executable, "-c", INTERRUPT_AT, str(event), *words]
        problems += wrong(f"Ctrl-C at event {event}", *shell(command, "| cat"))
    return problems


def test_a_full_disk_is_named(running):
    code, text = shell([HOSTMANAGER, *words_of("status", running)], "> /dev/full")
    assert code == 1
    assert text == "hostmanager: the output cannot be written: No space left on device\n"


def test_a_second_ctrl_c_ends_what_still_waits(running):
    """The manager is stopped, so a thread waits for its answer."""
    os.kill(running.managers["daq1"].pid, signal.SIGSTOP)
    try:
        process = running.popen("status", "--answer-time", "30")
        wait_for(lambda: len(list(Path(f"/proc/{process.pid}/task").iterdir())) > 1, 30, "a thread")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT)
        assert "Traceback" not in err
        assert process.returncode in {130, -signal.SIGINT}
    finally:
        os.kill(running.managers["daq1"].pid, signal.SIGCONT)
