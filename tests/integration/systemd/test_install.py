"""`hostmanager install-systemd`, as typed; systemctl is one that only takes notes."""

import getpass
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.systemd.fake_host import HOSTMANAGER, FakeHost, lines_of, me

from hostmanager.cli.systemd.unit import MARK


@pytest.fixture
def fake_host(tmp_path):
    return FakeHost(tmp_path.resolve())


# --- what the unit says ------------------------------------------------------------------------


def test_the_unit_is_printed_and_nothing_is_changed(fake_host):
    lines = lines_of(fake_host.run(*me("--print")))
    assert lines[0].startswith(MARK)
    assert (
        f"ExecStart={sys.executable} -P -m hostmanager.agent --instance-id=hm-daq1 "
        f"--site-file={fake_host.site} --site-host=daq1 --working-dir={Path('~').expanduser()}"
    ) in lines
    assert f"User={getpass.getuser()}" in lines
    assert fake_host.systemctl_calls == []
    assert not fake_host.units.exists()


def test_options_of_the_manager_go_into_the_command(fake_host):
    (fake_host.directory / "c.yaml").write_text("services: {}\n")
    result = fake_host.run(
        *me("--print", "--working-dir", str(fake_host.directory), "--docker-compose", "c.yaml"),
        *("--state-dir", "state", "--quiet", "--output-size=2.5", "--stop-timeout", "30"),
    )
    lines = lines_of(result)
    (command,) = [line for line in lines if line.startswith("ExecStart=")]
    for word in ("--docker-compose=c.yaml", "--quiet", "--output-size=2.5", "--stop-timeout=30"):
        assert f" {word}" in command
    assert f" --state-dir={fake_host.directory / 'state'}" in command
    assert f"WorkingDirectory={fake_host.directory}" in lines
    assert "TimeoutStopSec=75" in lines
    assert not any(line.startswith("StateDirectory") for line in lines)
    assert any("docker.service" in line for line in lines if line.startswith("After="))


def test_the_environment_is_what_was_asked_for_and_where_the_site_config_is(fake_host):
    result = fake_host.run(
        *me("--print", "--env", "LOGLEVEL=debug", "--env", "MINE", "--env", "EMPTY="),
        OCS_CONFIG_DIR="conf",
        MINE="a b",
        OTHER="x",
    )
    lines = [line for line in lines_of(result) if line.startswith("Environment=")]
    assert lines == [
        f"Environment=OCS_CONFIG_DIR={fake_host.directory / 'conf'}",
        "Environment=LOGLEVEL=debug",
        'Environment="MINE=a b"',
        "Environment=EMPTY=",
    ]


def test_the_time_to_stop_is_also_read_from_the_site_config(fake_host):
    result = fake_host.run(*me("--print", "--instance-id", "hm-two"), host="daq2")
    assert "TimeoutStopSec=145" in lines_of(result)


def test_what_is_odd_but_may_be_meant_is_reported_as_a_warning(fake_host):
    odd = ("--docker-compose", "nowhere.yaml", "--min-privs", "2")
    printed = fake_host.run(*me("--print", *odd))
    assert any(line.startswith("ExecStart=") for line in lines_of(printed))
    remarks = json.loads(fake_host.run(*me("--unit-dir", "units", "--json", *odd)).stdout)[
        "remarks"
    ]
    assert [f"note: {notice}" for notice in remarks] == printed.stderr.splitlines()
    assert "the site has no access policy" in remarks[0]
    assert "nowhere.yaml is not a readable file" in remarks[1]


def test_a_variable_that_only_this_shell_has_is_named_with_the_line_of_its_use(fake_host):
    (fake_host.directory / "c.yaml").write_text(
        "services:\n  a:\n    image: x:${TAG}\n    user: $USER\n"
    )
    words = ("--print", "--working-dir", str(fake_host.directory), "--docker-compose", "c.yaml")
    (note,) = [
        line
        for line in fake_host.run(*me(*words), TAG="1").stderr.splitlines()
        if "not set" in line
    ]
    assert note.startswith(
        f"note: {fake_host.directory}/c.yaml, line 3: the variable TAG is not set."
    )
    assert note.endswith("`--env NAME=VALUE` puts it into the unit.")
    assert "not set" not in fake_host.run(*me(*words, "--env", "TAG"), TAG="1").stderr


def test_containers_are_no_concern_of_a_unit_without_compose_files(fake_host):
    assert not any("docker.service" in line for line in lines_of(fake_host.run(*me("--print"))))


def test_several_managers_of_a_host_have_units_of_their_own(fake_host):
    for name in ("hm-one", "hm-two"):
        lines_of(fake_host.run(*me("--unit-dir", "units", "--instance-id", name), host="daq2"))
    lines_of(
        fake_host.run(*me("--unit-dir", "units", "--instance-id=hm-one", "--unit=x"), host="daq2")
    )
    names = sorted(path.name for path in (fake_host.directory / "units").iterdir())
    assert names == ["hostmanager-hm-one.service", "hostmanager-hm-two.service", "x.service"]
    assert fake_host.systemctl_calls == []


# --- refusals: nothing is changed ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--user", "nobody-of-that-name"), "there is no such user here"),
        (("--site-host", "daq9"), "daq9"),
        (("--instance-id", "hm-daq9"), "has no such instance"),
        (("--initial-state", "sideways"), "sideways"),
        (("--docker-compose-bin", "/nowhere/docker"), "/nowhere/docker is not an executable"),
        (("--access-policy", "nonsense"), "access_policy: 'nonsense'"),
        (("--working-dir", "/nowhere"), "/nowhere does not exist"),
        (("--env", "NOT_SET"), "it is not set"),
        (("--env", "A B=1"), "cannot be the name of a variable"),
        (("--unit", "../../x"), "cannot be the name of a unit"),
        (("--unit-dir", "x", "--now"), "cannot be used with --enable or --now"),
        (("--user-unit",), "--user-unit is for your own user"),
        (("--watchdog", "1"), "whole number from 5 to 3600"),
        (("--print", "--remove"), "not allowed with"),
    ],
)
def test_what_makes_no_sense_is_refused(fake_host, arguments, why):
    result = fake_host.run("--unit-dir", "units", *me(), *arguments)
    assert result.returncode == 2
    assert why in result.stderr
    assert "Traceback" not in result.stderr
    assert not (fake_host.directory / "units").exists()


def test_an_ambiguous_host_is_refused(fake_host):
    result = fake_host.run(*me("--print"), host="daq2")
    assert result.returncode == 2
    assert "Use --instance-id to pick one" in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try what another user may do")
def test_a_user_who_cannot_read_the_site_config_is_found_out_before(fake_host):
    fake_host.site.chmod(0o600)
    result = fake_host.run("--print", "--user", "nobody", "--working-dir", "/")
    assert result.returncode == 2
    assert "the user nobody cannot run the manager" in result.stderr
    assert "Permission denied" in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is asked who shall run it")
def test_root_has_to_be_meant(fake_host):
    result = fake_host.run("--print")
    assert result.returncode == 2
    assert "--user root" in result.stderr
    assert fake_host.run("--print", SUDO_USER="nobody-of-that-name").returncode == 2


# --- installing ---------------------------------------------------------------------------------


def test_it_is_written_enabled_and_started(fake_host):
    lines = lines_of(fake_host.for_user("--enable", "--now"))
    assert fake_host.unit.read_text().startswith(MARK)
    assert fake_host.unit.stat().st_mode & 0o777 == 0o644
    assert fake_host.systemctl_calls == [
        "daemon-reload",
        "enable hostmanager-hm-daq1.service",
        "start hostmanager-hm-daq1.service",
    ]
    assert lines[:2] == [f"write {fake_host.unit}", "run systemctl --user daemon-reload"]
    assert list(fake_host.units.iterdir()) == [fake_host.unit]  # no draft is left


def test_a_dry_run_only_says_it(fake_host):
    lines = lines_of(fake_host.for_user("--enable", "--now", "--dry-run"))
    assert lines[0] == f"would write {fake_host.unit}"
    assert "would run systemctl --user start hostmanager-hm-daq1.service" in lines
    assert fake_host.systemctl_calls == []
    assert not fake_host.unit.exists()


def test_the_result_as_json(fake_host):
    result = json.loads(fake_host.for_user("--json").stdout)
    assert result["unit"] == "hostmanager-hm-daq1.service"
    assert result["path"] == str(fake_host.unit)
    assert result["steps"] == [f"write {fake_host.unit}", "run systemctl --user daemon-reload"]
    assert result["dry_run"] is False


def test_what_systemd_refuses_is_reported_with_what_was_done(fake_host):
    result = fake_host.for_user("--enable", "--now", FAILS="enable")
    assert result.returncode == 1
    assert "enable hostmanager-hm-daq1.service` failed: it went wrong" in result.stderr
    assert f"Done before: write {fake_host.unit}" in result.stderr
    assert fake_host.systemctl_calls[-1] == "enable hostmanager-hm-daq1.service"


def test_doing_it_again_replaces_the_unit_and_says_what_a_running_one_needs(fake_host):
    lines_of(fake_host.for_user())
    result = fake_host.for_user("--watchdog", "60", ACTIVE="hostmanager-hm-daq1.service")
    assert "WatchdogSec=60" in fake_host.unit.read_text()
    (note,) = [line for line in lines_of(result) if "already running" in line]
    assert "systemctl --user kill --signal=KILL --kill-who=main hostmanager-hm-daq1.service" in note


def test_a_unit_of_somebody_else_is_left_alone(fake_host):
    fake_host.units.mkdir(parents=True)
    fake_host.unit.write_text("[Service]\nExecStart=/bin/true\n")
    for arguments in ((), ("--remove",)):
        result = fake_host.for_user(*arguments)
        assert result.returncode == 1
        assert "was not written by this command" in result.stderr
    assert fake_host.unit.read_text().startswith("[Service]")
    assert fake_host.systemctl_calls == []
    lines_of(fake_host.for_user("--force"))
    assert fake_host.unit.read_text().startswith(MARK)


def test_without_systemctl_it_says_so(fake_host):
    result = fake_host.for_user(PATH=str(fake_host.directory / "nothing"))
    assert result.returncode == 1
    assert "there is no systemctl on this machine" in result.stderr


# --- removing -----------------------------------------------------------------------------------


def test_it_is_stopped_and_removed(fake_host):
    lines_of(fake_host.for_user())
    fake_host.notes.write_text("")
    lines_of(fake_host.for_user("--remove"))
    assert fake_host.systemctl_calls == [
        "disable --now hostmanager-hm-daq1.service",
        "daemon-reload",
    ]
    assert not fake_host.unit.exists()


def test_a_running_manager_is_stopped_only_if_somebody_confirms_it(fake_host):
    lines_of(fake_host.for_user())
    fake_host.notes.write_text("")
    running = {"ACTIVE": "hostmanager-hm-daq1.service"}
    result = fake_host.for_user("--remove", **running)
    assert result.returncode == 2
    assert "This would stop hostmanager-hm-daq1.service, the manager with all" in result.stderr
    assert "add --yes to confirm it. Nothing was changed." in result.stderr
    assert fake_host.for_user("--remove", "--dry-run", **running).returncode == 0
    assert (fake_host.systemctl_calls, fake_host.unit.exists()) == ([], True)
    lines_of(fake_host.for_user("--remove", "--yes", **running))
    assert not fake_host.unit.exists()


def test_it_can_be_removed_when_the_site_config_is_gone(fake_host):
    lines_of(fake_host.for_user())
    fake_host.site.unlink()
    assert fake_host.for_user("--remove").returncode == 2
    lines_of(fake_host.for_user("--remove", "--instance-id", "hm-daq1"))
    assert not fake_host.unit.exists()


def test_what_does_not_stop_keeps_its_unit(fake_host):
    lines_of(fake_host.for_user())
    result = fake_host.for_user("--remove", FAILS="disable")
    assert result.returncode == 1
    assert fake_host.unit.exists()


def test_removing_what_is_not_there_says_so(fake_host):
    result = fake_host.for_user("--remove")
    assert result.returncode == 1
    assert "nothing was changed" in result.stderr


def test_the_help_shows_the_options_of_the_manager_too(fake_host):
    result = subprocess.run(
        [HOSTMANAGER, "install-systemd", "--help"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    for word in ("--enable", "--user-unit", "--docker-compose", "--site-file", "examples:"):
        assert word in result.stdout


# --- the alarm service ---------------------------------------------------------------------------


def test_the_unit_of_the_alarm_service(fake_host):
    result = fake_host.run(*me("--alerts", "--print", "--alerts-config", "rules.yaml"))
    lines = lines_of(result)
    command = f"ExecStart={sys.executable} -P -m hostmanager.cli.entry_point alerts "
    rules = fake_host.directory / "rules.yaml"
    options = f"--site-file={fake_host.site} --site-host=daq1 --config={rules}"
    assert command + options in lines
    assert "StateDirectory=hostmanager/alerts" in lines
    assert not any(line.startswith(("KillMode", "ExecReload", "LimitNICE")) for line in lines)
    assert f"{rules} does not exist yet" in result.stderr


def test_the_alarm_service_takes_no_options_of_the_manager(fake_host):
    result = fake_host.run(*me("--alerts", "--print", "--quiet"))
    assert (result.returncode, "--quiet is an option of the manager only" in result.stderr) == (
        2,
        True,
    )


def test_the_alarm_service_is_installed_and_removed(fake_host):
    result = fake_host.run(*me("--alerts", "--unit-dir", str(fake_host.units)))
    assert result.returncode == 0, result.stderr
    assert [path.name for path in fake_host.units.iterdir()] == ["hostmanager-alerts.service"]
    result = fake_host.run("--alerts", "--remove", "--unit-dir", str(fake_host.units))
    assert (result.returncode, list(fake_host.units.iterdir())) == (0, []), result.stderr


def test_the_page_has_a_unit_with_its_options(fake_host):
    options = ("--allow-host=a.example", "--allow-host=b.example", "--read-only", "--root-path=/hm")
    lines = lines_of(fake_host.run(*me("--web", "--print", "--watchdog=60", *options)))
    command = f"ExecStart={sys.executable} -P -m hostmanager.cli.entry_point web "
    words = " ".join(["--site-host=daq1", *options[:2], "--root-path=/hm", "--read-only"])
    assert command + f"--site-file={fake_host.site} {words}" in lines
    assert {"Type=notify", "WatchdogSec=60"} <= set(lines)
    assert not any(line.startswith(("KillMode", "StateDirectory", "LimitNICE")) for line in lines)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--web", "--quiet"), "--web: --quiet is an option of the manager only"),
        (("--web", "--state-dir=x"), "--web: it keeps nothing on disk"),
        (("--web", "--root-path=hm"), "--root-path hm: write a path that begins with a slash"),
        (("--web", "--listen=0.0.0.0:80"), "--allow-host NAME"),
        (("--read-only",), "--read-only is an option of the page only: add --web"),
        (("--web", "--alerts"), "not allowed with argument --web"),
    ],
)
def test_options_of_the_page_that_make_no_sense_are_refused(fake_host, words, text):
    result = fake_host.run(*me("--print", *words))
    assert (result.returncode, text in result.stderr) == (2, True), result.stderr


def test_the_page_is_installed_and_removed(fake_host):
    result = fake_host.run(*me("--web", "--unit-dir", str(fake_host.units)))
    assert result.returncode == 0, result.stderr
    assert [path.name for path in fake_host.units.iterdir()] == ["hostmanager-web.service"]
    result = fake_host.run("--web", "--remove", "--unit-dir", str(fake_host.units))
    assert (result.returncode, list(fake_host.units.iterdir())) == (0, []), result.stderr
