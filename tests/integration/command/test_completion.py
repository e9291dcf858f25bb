"""Completion, as the shells themselves do it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hostmanager.cli.completion.candidates import site_words
from hostmanager.cli.main import ALIASES, COMMANDS

BIN = Path(sys.executable).parent
SITE = """\
hub: {wamp_server: "ws://x/ws", wamp_realm: r, address_root: o}
hosts:
  daq1:
    agent-instances:
      - {agent-class: HostManager, instance-id: hm-daq1}
      - {agent-class: FakeDataAgent, instance-id: fake1}
      - {agent-class: FakeDataAgent, instance-id: fake2}
  daq2:
    agent-instances:
      - {agent-class: ACUAgent, instance-id: acu1}
      - {agent-class: "$(reboot)", instance-id: "a; b"}
"""


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "default.yaml").write_text(SITE)
    (tmp_path / "other.yaml").write_text(SITE.replace("fake", "real"))
    return tmp_path


def shell(directory, *command, text=None):
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        command,
        env={
            **os.environ,
            "PATH": path,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "OCS_CONFIG_DIR": str(directory),
            "HOME": str(directory),
        },
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def script(directory, name):
    path = directory / f"completion.{name}"
    path.write_text(shell(directory, "hostmanager", "completion", name))
    return path


def bash(directory, *typed):
    """What bash would offer for these words, the last of which is being typed."""
    code = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))\n_hostmanager\n'
    code += 'printf "%s\\n" "${COMPREPLY[@]}"'
    result = shell(directory, "bash", "-c", code, "-", str(script(directory, "bash")), *typed)
    return set(result.split())


def test_bash_completes_commands_options_ids_hosts_and_classes(directory):
    assert bash(directory, "hostmanager", "") == {*COMMANDS, *ALIASES}
    assert bash(directory, "hostmanager", "re") == {"restart", "reload"}
    assert bash(directory, "hostmanager", "up", "") == {"fake1", "fake2", "acu1"}
    assert bash(directory, "hostmanager", "logs", "acu1", "f") == {"fake1", "fake2"}
    assert bash(directory, "hostmanager", "status", "--host", "d") == {"daq1", "daq2"}
    assert bash(directory, "hostmanager", "status", "--host", "=", "daq2") == {"daq2"}
    assert bash(directory, "hostmanager", "down", "--class", "") == {"FakeDataAgent", "ACUAgent"}
    assert bash(directory, "hostmanager", "status", "--wa") == {"--watch"}
    assert bash(directory, "hostmanager", "history", "--kind", "la") == {"launch"}
    assert bash(directory, "hostmanager", "completion", "") == {"bash", "zsh", "fish"}
    assert bash(directory, "hostmanager", "status", "--interval", "") == set()


def test_bash_takes_the_site_file_that_is_typed(directory):
    other = str(directory / "other.yaml")
    assert bash(directory, "hostmanager", "up", "--site-file", other, "r") == {"real1", "real2"}
    assert bash(directory, "hostmanager", "up", "--site-file", "=", other, "r") == {
        "real1",
        "real2",
    }
    assert bash(directory, "hostmanager", "up", "--site", "other", "r") == {"real1", "real2"}


def test_fish_completes_commands_options_and_ids(directory):
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    path = script(directory, "fish")

    def fish(typed):
        code = f"source {path}; complete -C '{typed}'"
        return {line.split("\t")[0] for line in shell(directory, "fish", "-c", code).splitlines()}

    assert {"status", "restart"} <= fish("hostmanager ")
    assert fish("hostmanager up ") == {"fake1", "fake2", "acu1"}
    assert fish("hostmanager status --host d") == {"daq1", "daq2"}
    assert fish("hostmanager status --wa") == {"--watch"}


def test_zsh_completes_commands_options_and_ids(directory):
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    path = script(directory, "zsh")

    def zsh(*typed):
        # What would be offered is caught where it is handed to the shell.
        quoted = " ".join(f"'{word}'" for word in typed)
        code = f"""
        compdef() {{ : }}
        source {path}
        _describe() {{ print -l ${{(P)2}} }}
        _files() {{ print files }}
        words=({quoted}) CURRENT={len(typed)}
        _hostmanager
        """
        return shell(directory, "zsh", "-f", "-c", code).splitlines()

    assert zsh("hostmanager", "up", "") == ["acu1", "fake1", "fake2"]
    assert any(line.startswith("restart:") for line in zsh("hostmanager", ""))
    assert zsh("hostmanager", "check", "") == ["files"]
    shell(directory, "zsh", "-n", str(path))


def test_bash_completes_the_files_of_check(directory, monkeypatch):
    monkeypatch.chdir(directory)
    assert bash(directory, "hostmanager", "check", "ot") == {"other.yaml"}
    assert "other.yaml" in bash(directory, "hostmanager", "check", "")
    assert bash(directory, "hostmanager", "status", "--site-file", "=", "ot") == {"other.yaml"}


def test_the_aliases_complete_as_the_commands_do(directory):
    for alias, name in ALIASES.items():
        for word in ("--", "f"):
            assert bash(directory, "hostmanager", alias, word) == bash(
                directory, "hostmanager", name, word
            )


def test_a_tab_costs_no_more_than_a_start_of_python(directory):
    code = (
        "import sys; from hostmanager.cli.entry_point import main; main();"
        "assert not {'argparse', 'ocs', 'yaml', 'rich', 'pathlib'} & set(sys.modules)"
    )
    found = shell(
        directory, sys.executable, "-S", "-c", code, "completion", "candidates", "run", "--"
    )
    assert "--docker-compose\t" in found


def test_options_of_the_manager_are_completed_after_run(directory):
    assert {"--state-dir", "--site-file"} <= bash(directory, "hostmanager", "run", "--")
    assert bash(directory, "hostmanager", "run", "--site-f") == {"--site-file"}


@pytest.mark.parametrize(
    "text",
    ["", "[", "hosts: 5", "hosts: {a: 7}", "hosts: {a: {agent-instances: 5}}", "\x00", "- a"],
)
def test_a_file_that_makes_no_sense_completes_nothing(tmp_path, text):
    path = tmp_path / "site.yaml"
    path.write_text(text)
    for key in ("instance-id", "host", "agent-class"):
        assert [word for word in site_words(key, path) if word != "a"] == []
    assert list(site_words("instance-id", tmp_path / "none.yaml")) == []
    assert list(site_words("instance-id", None)) == []
