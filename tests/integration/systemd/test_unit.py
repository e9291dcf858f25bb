"""The unit's text: quoted by systemd's rules, and found without fault by systemd itself."""

import getpass
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hostmanager.cli.systemd.unit import (
    MARK,
    ServiceUnit,
    Unit,
    UnitError,
    check_value,
    exec_start,
    quote_word,
)
from hostmanager.drivers.process.priority import MANAGER_NICE

UNIT = Unit(
    name="hostmanager-hm-daq1",
    description="OCS host manager hm-daq1",
    command=(sys.executable, "-m", "hostmanager.agent", "--instance-id=hm-daq1"),
    working_dir=Path("/"),
    user=getpass.getuser(),
    kill=shutil.which("kill") or "/bin/kill",
)

ODD = '/a b/100%/$HOME/it\'s "so"/back\\slash;x#y=ü'

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not installed (Debian: apt-get install systemd)",
)


def entries(unit: Unit) -> list[str]:
    """The lines of a unit that count."""
    return [line for line in unit.text().splitlines() if line and line[0] not in "#["]


def verify(unit: Unit, directory: Path, *options: str) -> str:
    """What systemd finds wrong with a unit."""
    path = directory / unit.file_name
    path.write_text(unit.text())
    result = subprocess.run(
        ["systemd-analyze", *options, "verify", str(path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(directory)},
    )
    # systemd before 254 does not know it, and says that it goes on without.
    unknown = "Unknown key 'DelegateSubgroup' in section [Service], ignoring."
    mine = [line for line in result.stderr.splitlines() if unit.name in line]
    mine = [line for line in mine if not line.endswith(unknown)]
    return "\n".join(mine)


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",
        "NotifyAccess=main",
        "KillMode=process",  # the agents outlive a crash of the manager
        "Restart=always",
        "StartLimitIntervalSec=0",
        "OOMPolicy=continue",
        "WatchdogSec=30",
        f"LimitNICE={MANAGER_NICE}",  # the manager may take precedence over its agents
        "StateDirectory=hostmanager/hm-daq1",
        "WantedBy=multi-user.target",
    ],
)
def test_it_says(line):
    assert line in entries(UNIT)


def test_it_begins_with_the_mark():
    assert UNIT.text().startswith(MARK)


def test_a_stop_has_time_for_stubborn_agents():
    def stop(seconds: float) -> int:
        lines = entries(replace(UNIT, stop_timeout=seconds))
        (line,) = [line for line in lines if line.startswith("TimeoutStopSec=")]
        return int(line.partition("=")[2])

    assert stop(10) > 10 + 5 + 5 + 10
    assert stop(100) - stop(10) == 90


def test_a_unit_of_a_user_names_no_user_and_nothing_of_the_system():
    text = replace(UNIT, user=None, is_user_unit=True, harden=True).text()
    assert "User=" not in text
    assert "network.target" not in text
    assert "LimitNICE" not in text
    assert "ProtectKernel" not in text
    assert "WantedBy=default.target" in text


def test_hardening_is_only_for_who_wants_it():
    assert "NoNewPrivileges" not in UNIT.text()
    assert "NoNewPrivileges=yes" in entries(replace(UNIT, harden=True))


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("plain-Word_1.2:/=@,+", "plain-Word_1.2:/=@,+"),
        ("", '""'),
        ("a b", '"a b"'),
        ("100%", "100%%"),
        ('say "x"', '"say \\"x\\""'),
        ("back\\slash", '"back\\\\slash"'),
        (";", '";"'),
        ("it's", '"it\'s"'),
        ("ü", '"ü"'),
    ],
)
def test_words_are_quoted(word, written):
    assert quote_word(word, "it") == written


def test_a_dollar_stays_one_in_a_command_and_in_the_environment():
    assert exec_start(("/bin/x", "$HOME")) == "/bin/x $$HOME"
    unit = replace(UNIT, environment={"X": "$HOME"})
    assert "Environment=X=$HOME" in entries(unit)


@pytest.mark.parametrize("text", ["a\nExecStart=/bin/evil", "a\tb", "\x1b[0m", "a\udc80b", "\0"])
def test_what_cannot_be_in_a_unit_is_refused(text):
    for write in (quote_word, check_value):
        with pytest.raises(UnitError, match=r"it, .* contains a character"):
            write(text, "it")


@pytest.mark.parametrize("text", [" a", "a ", "a\\"])
def test_a_line_that_systemd_would_read_otherwise_is_refused(text):
    with pytest.raises(UnitError):
        check_value(text, "the working directory")


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", "a%i", "a@b", "a\nb", "-x", "x" * 300])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(UnitError, match="cannot be the name of a unit"):
        replace(UNIT, name=name).text()


def test_a_variable_that_is_none_is_refused():
    with pytest.raises(UnitError, match="cannot be the name of a variable"):
        replace(UNIT, environment={"A B": "x"}).text()


def test_a_program_that_systemd_would_not_find_is_refused():
    for program in ("python", "/opt/$X/python"):
        with pytest.raises(UnitError, match="absolute path"):
            exec_start((program,))


@needs_systemd
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"harden": True, "docker": True},
        {"has_state_dir": False, "watchdog": 5, "stop_timeout": 0.5},
        {"environment": {"OCS_CONFIG_DIR": ODD, "EMPTY": ""}},
        {"command": (*UNIT.command, f"--site-file={ODD}", ";", "")},
        {"description": ODD, "working_dir": Path(ODD)},
    ],
    ids=lambda changes: ",".join(changes) or "plain",
)
def test_systemd_finds_nothing_wrong_with_it(changes, tmp_path):
    assert verify(replace(UNIT, **changes), tmp_path) == ""


@needs_systemd
def test_systemd_finds_nothing_wrong_with_a_unit_of_a_user(tmp_path):
    assert (
        verify(replace(UNIT, user=None, is_user_unit=True, harden=True), tmp_path, "--user") == ""
    )


@needs_systemd
@pytest.mark.parametrize("subcommand", ["alerts", "web"])
def test_systemd_finds_nothing_wrong_with_a_unit_of_a_service(subcommand, tmp_path):
    command = (sys.executable, "-P", "-m", "hostmanager.cli.entry_point", subcommand)
    unit = ServiceUnit(f"hostmanager-{subcommand}", "OCS service", command, Path("/"), harden=True)
    assert verify(unit, tmp_path) == ""


@needs_systemd
def test_systemd_would_find_something(tmp_path):
    broken = replace(UNIT, command=("/nowhere/python",))
    assert "/nowhere/python" in verify(broken, tmp_path)
