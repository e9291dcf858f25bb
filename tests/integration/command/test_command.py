"""The command `hostmanager`, as typed."""

import subprocess
import sys
from pathlib import Path

import pytest

from hostmanager import __version__

HOSTMANAGER = str(Path(sys.executable).parent / "hostmanager")


def run(*arguments, program=(HOSTMANAGER,)):
    return subprocess.run(
        [*program, *arguments], check=False, capture_output=True, text=True, timeout=60
    )


def test_help_names_all_commands_exit_codes_and_examples():
    result = run("--help")
    assert result.returncode == 0
    for word in ("run", "demo", "exit status:", "examples:", "hostmanager demo"):
        assert word in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_version():
    assert run("--version").stdout == run("version").stdout == f"hostmanager {__version__}\n"


def test_without_a_command_the_help_is_shown_as_an_error():
    result = run()
    assert result.returncode == 2
    assert result.stdout == ""
    assert "commands:" in result.stderr


@pytest.mark.parametrize(
    ("word", "nearest"),
    [("dmo", "demo"), ("stat", "status"), ("ps", "status"), ("restrt", "restart"), ("log", "logs")],
)
def test_an_unknown_command_is_answered_with_the_nearest(word, nearest):
    result = run(word)
    assert result.returncode == 2
    assert f"there is no command '{word}'. Did you mean '{nearest}'?" in result.stderr


def test_a_word_that_is_near_nothing_is_answered_with_all_commands():
    result = run("xyzzy")
    assert result.returncode == 2
    assert "The commands are: run," in result.stderr
    assert "Did you mean" not in result.stderr


@pytest.mark.parametrize("word", ["kill", "rm", "di", "strat", "rn", "pause"])
def test_nothing_that_changes_anything_is_suggested_for_a_word_that_is_only_similar(word):
    result = run(word)
    assert result.returncode == 2
    assert not {"'up'", "'down'", "'die'", "'restart'", "'run'"} & set(
        result.stderr.split("?")[0].split()
    )


@pytest.mark.parametrize(("alias", "name"), [("start", "up"), ("stop", "down")])
def test_start_and_stop_are_up_and_down(alias, name):
    assert run(alias, "--help").stdout == run(name, "--help").stdout
    assert f"hostmanager {name} PATTERN..." in run(alias).stderr


@pytest.mark.parametrize("arguments", [("status",), ("run",), ("start",), ()])
def test_help_shows_what_the_option_help_shows(arguments):
    result = run("help", *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == run(*arguments, "--help").stdout


def test_help_of_an_unknown_command_suggests_the_nearest():
    result = run("help", "statsu")
    assert (result.returncode, result.stdout) == (2, "")
    assert "there is no command 'statsu'. Did you mean 'status'?" in result.stderr


def test_the_site_options_have_a_help_of_their_own():
    assert "--site-http" not in run("status", "--help").stdout
    assert "--help-site" in run("status", "--help").stdout
    result = run("status", "--help-site")
    assert (result.returncode, result.stderr) == (0, "")
    assert "--site-http" in result.stdout
    assert "--wrong" not in result.stdout


def test_an_unknown_option_is_refused():
    result = run("--nonsense")
    assert result.returncode == 2
    assert "--nonsense" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status", "--wrnog"], "unrecognized arguments: --wrnog; did you mean --wrong?"),
        (["diff", "--zzz", "1"], "unrecognized arguments: --zzz 1"),
        (["up", "a", "--timeout", "soon"], "argument --timeout: 'soon' is not a valid duration"),
        (["completion", "tcsh"], "'tcsh' is none of the shells bash, zsh, fish"),
        (["history", "--since"], "argument --since: expected one argument"),
    ],
)
def test_a_wrong_option_of_a_command_is_reported_in_one_sentence_and_where_help_is(
    arguments, message
):
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    first, second = result.stderr.splitlines()
    assert first.startswith(f"hostmanager {arguments[0]}: ")
    assert message in first
    assert second == f"See `hostmanager {arguments[0]} --help`."


def test_no_option_is_proposed_that_has_only_the_dashes_in_common():
    assert "did you mean" not in run("silence", "a", "--yes").stderr


def test_where_no_program_can_be_started_run_says_so(tmp_path):
    code = (
        "import sys\n"
        f"sys.executable = {str(tmp_path / 'gone')!r}\n"
        "from hostmanager.agent.main import main\n"
        "main(['--site-file', 'site.yaml'])"
    )
    result = run("-c", code, program=(sys.executable,))
    assert (result.returncode, result.stdout) == (2, "")
    assert f"this user cannot start a program with {tmp_path / 'gone'}: " in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_run_has_the_options_of_the_agent():
    ours = run("run", "--help")
    agents = run("--help", program=(sys.executable, "-m", "hostmanager.agent"))
    assert ours.returncode == 0
    assert "usage: hostmanager run" in ours.stdout
    options = {word for word in agents.stdout.split() if word.startswith("--")}
    assert "--initial-state" in options
    assert options <= set(ours.stdout.split())


def test_run_hands_on_every_word_as_it_is():
    result = run("run", "--site-file", "/nowhere/site.yaml", "--instance-id", "hm-x")
    assert result.returncode == 2
    assert "/nowhere/site.yaml" in result.stderr


def test_run_imports_nothing_that_only_people_need():
    code = (
        "import sys\n"
        "from hostmanager.cli.main import main\n"
        "try: main(['run', '--help'])\n"
        "except SystemExit: pass\n"
        "print(*[m for m in ('rich', 'hostmanager.demo', 'twisted', 'requests')"
        " if m in sys.modules], file=sys.stderr)"
    )
    assert run("-c", code, program=(sys.executable,)).stderr.strip() == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--duration", "soon"],
        ["--duration", "0"],
        ["--duration", "inf"],
        ["--duration", "nan"],
        ["--agents", "0"],
        ["--agents", "-1"],
        ["--agents", "many"],
        ["--port", "65536"],
        ["--port", "1.5"],
        ["--nonsense"],
        ["word"],
    ],
)
def test_demo_refuses_what_makes_no_sense(arguments):
    result = run("demo", *arguments)
    assert result.returncode == 2
    assert arguments[-1] in result.stderr
    assert "Traceback" not in result.stderr


def test_demo_without_crossbar_names_the_remedy(tmp_path):
    code = (
        "import sys; "
        f"sys.executable = {str(tmp_path / 'python')!r}\n"
        "from hostmanager.demo.runner import run_demo\n"
        "sys.exit(run_demo(1.0, 1, 0, None))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 2
    assert "pip install 'ocs-hostmanager[demo]'" in result.stderr
