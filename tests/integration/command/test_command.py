"""The command `hostmanager`, as typed."""

import subprocess
import sys
from pathlib import Path

import pytest

from hostmanager import __version__

HOSTMANAGER = str(Path(sys.executable).parent / "hostmanager")


def run(*words, program=(HOSTMANAGER,)):
    return subprocess.run(
        [*program, *words], check=False, capture_output=True, text=True, timeout=60
    )


def test_help_names_all_commands_exit_codes_and_examples():
    done = run("--help")
    assert done.returncode == 0
    for word in ("run", "demo", "exit status:", "examples:", "hostmanager demo"):
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_version():
    assert run("--version").stdout == run("version").stdout == f"hostmanager {__version__}\n"


def test_without_a_command_the_help_is_shown_as_an_error():
    done = run()
    assert done.returncode == 2
    assert done.stdout == ""
    assert "commands:" in done.stderr


@pytest.mark.parametrize(
    ("word", "nearest"),
    [("dmo", "demo"), ("stat", "status"), ("ps", "status"), ("restrt", "restart"), ("log", "logs")],
)
def test_an_unknown_command_is_answered_with_the_nearest(word, nearest):
    done = run(word)
    assert done.returncode == 2
    assert f"there is no command '{word}'. Did you mean '{nearest}'?" in done.stderr


def test_a_word_that_is_near_nothing_is_answered_with_all_commands():
    done = run("xyzzy")
    assert done.returncode == 2
    assert "The commands are: run," in done.stderr
    assert "Did you mean" not in done.stderr


@pytest.mark.parametrize("word", ["kill", "rm", "di", "strat", "rn", "pause"])
def test_nothing_that_changes_anything_is_suggested_for_a_word_that_is_only_similar(word):
    done = run(word)
    assert done.returncode == 2
    assert not {"'up'", "'down'", "'die'", "'restart'", "'run'"} & set(
        done.stderr.split("?")[0].split()
    )


@pytest.mark.parametrize(("alias", "name"), [("start", "up"), ("stop", "down")])
def test_start_and_stop_are_up_and_down(alias, name):
    assert run(alias, "--help").stdout == run(name, "--help").stdout
    assert f"hostmanager {name} PATTERN..." in run(alias).stderr


@pytest.mark.parametrize("words", [("status",), ("run",), ("start",), ()])
def test_help_shows_what_the_option_help_shows(words):
    done = run("help", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run(*words, "--help").stdout


def test_help_of_an_unknown_command_suggests_the_nearest():
    done = run("help", "statsu")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no command 'statsu'. Did you mean 'status'?" in done.stderr


def test_the_site_options_have_a_help_of_their_own():
    assert "--site-http" not in run("status", "--help").stdout
    assert "--help-site" in run("status", "--help").stdout
    done = run("status", "--help-site")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--site-http" in done.stdout
    assert "--wrong" not in done.stdout


def test_an_unknown_option_is_refused():
    done = run("--nonsense")
    assert done.returncode == 2
    assert "--nonsense" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status", "--wrnog"], "unrecognized arguments: --wrnog; did you mean --wrong?"),
        (["diff", "--zzz", "1"], "unrecognized arguments: --zzz 1"),
        (["up", "a", "--timeout", "soon"], "argument --timeout: 'soon' is not a valid duration"),
        (["completion", "tcsh"], "'tcsh' is none of the shells bash, zsh, fish"),
        (["history", "--since"], "argument --since: expected one argument"),
    ],
)
def test_a_wrong_option_of_a_command_is_said_in_one_sentence_and_where_help_is(words, said):
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert first.startswith(f"hostmanager {words[0]}: ")
    assert said in first
    assert second == f"See `hostmanager {words[0]} --help`."


def test_where_no_program_can_be_started_run_says_so(tmp_path):
    code = (
        "import sys\n"
        f"sys.executable = {str(tmp_path / 'gone')!r}\n"
        "from hostmanager.agent.main import main\n"
        "main(['--site-file', 'site.yaml'])"
    )
    done = run("-c", code, program=(sys.executable,))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"no program can be started by this user with {tmp_path / 'gone'}: " in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_run_has_the_options_of_the_agent():
    ours = run("run", "--help")
    agents = run("--help", program=(sys.executable, "-m", "hostmanager.agent"))
    assert ours.returncode == 0
    assert "usage: hostmanager run" in ours.stdout
    options = {word for word in agents.stdout.split() if word.startswith("--")}
    assert "--initial-state" in options
    assert options <= set(ours.stdout.split())


def test_run_hands_on_every_word_as_it_is():
    done = run("run", "--site-file", "/nowhere/site.yaml", "--instance-id", "hm-x")
    assert done.returncode == 2
    assert "/nowhere/site.yaml" in done.stderr


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
    "words",
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
def test_demo_refuses_what_makes_no_sense(words):
    done = run("demo", *words)
    assert done.returncode == 2
    assert words[-1] in done.stderr
    assert "Traceback" not in done.stderr


def test_demo_without_crossbar_names_the_remedy(tmp_path):
    code = (
        "import sys; "
        f"sys.executable = {str(tmp_path / 'python')!r}\n"
        "from hostmanager.demo.runner import run_demo\n"
        "sys.exit(run_demo(1.0, 1, 0, None))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "pip install 'ocs-hostmanager[demo]'" in done.stderr
