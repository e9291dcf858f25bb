"""`hostmanager check`: compose files, and the services that instances need."""

import os
import shutil
import sys

import pytest
import yaml
from tests.support.plugins import ask_plugins_once

from hostmanager.cli.main import main

COMPOSE = """\
#!{python}
import json, sys, yaml
words = sys.argv[1:]
if words == ["version", "--short"]:
    print("2.99.0")
elif "--hash" in words:
    pass
elif words[-3:] == ["config", "--format", "json"]:
    data = yaml.safe_load(open(words[words.index("-f") + 1]))
    for name, service in data["services"].items():
        if "image" not in service:
            sys.exit(f"service {{name!r}} has neither an image nor a build context specified")
    print(json.dumps({{"name": "p", **data}}))
else:
    sys.exit(f"what is {{words}}?")
"""
"""A compose command that understands as much as is needed here."""


@pytest.fixture
def compose(tmp_path):
    path = tmp_path / "bin" / "docker-compose"
    path.parent.mkdir()
    path.write_text(COMPOSE.format(python=sys.executable))
    path.chmod(0o755)
    return path


@pytest.fixture
def check(tmp_path, compose, monkeypatch, capsys):
    """Check a site; `hosts` are lists of entries. Lines without the directory."""
    ask_plugins_once(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{compose.parent}:/nonexistent")

    def go(*arguments, **hosts):
        hub = {"wamp_server": "ws://a/ws", "wamp_realm": "r", "address_root": "o"}
        blocks = {name: {"agent-instances": entries} for name, entries in hosts.items()}
        text = yaml.safe_dump({"hub": hub, "hosts": blocks}, sort_keys=False)
        (tmp_path / "site.yaml").write_text(text)
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["check", "--offline", "--elsewhere", *arguments, "site.yaml"])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return end.value.code, printed.out.splitlines(), printed.err

    return go


def manager(host, *arguments):
    return {"instance-id": f"hm-{host}", "agent-class": "HostManager", "arguments": [*arguments]}


def docker(name, manage="docker"):
    return {"instance-id": name, "agent-class": "FakeDataAgent", "manage": manage}


def services(path, *names, **more):
    """Write a compose file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump({"services": {name: {"image": "x"} for name in names}, **more}))


def test_an_instance_with_its_service_is_good(check, tmp_path):
    services(tmp_path / "c.yaml", "ocs-cam", "influxdb")
    code, lines, notice = check(daq1=[manager("daq1", "--docker-compose", "c.yaml"), docker("cam")])
    assert (code, lines) == (0, [])
    assert "not checked" not in notice


def test_a_variable_that_is_not_set_is_a_warning_with_its_file_and_line(check, tmp_path, compose):
    services(tmp_path / "c.yaml", "ocs-cam")
    with (tmp_path / "c.yaml").open("a") as file:
        file.write("    volumes: ['${NOT_SET_HERE}/data:/data']\n")
    site = [manager("daq1", "--docker-compose", "c.yaml"), docker("cam")]
    compose.unlink()  # it is found without one, too
    code, lines, _ = check(daq1=site)
    assert code == 0
    assert [line for line in lines if "NOT_SET_HERE" in line] == [
        "c.yaml:4:1: warning: the variable NOT_SET_HERE is not set, so compose puts nothing in its "
        "place. Set it in the file .env beside the compose file or in the environment of the "
        "manager, or write a default: ${NAME:-default}."
    ]
    (tmp_path / ".env").write_text("NOT_SET_HERE=/srv\n")
    assert check(daq1=site)[:2] == (0, [])


def test_a_missing_service_is_reported_where_manage_stands_with_the_nearest(check, tmp_path):
    services(tmp_path / "c.yaml", "ocs-cma1", "cam2", "db")
    entries = [manager("daq1", "--docker-compose", "c.yaml"), docker("cam1"), docker("cam2")]
    code, lines, _ = check(daq1=[*entries, docker("x", "docker/down")])
    assert code == 1
    assert lines == [
        "site.yaml:15:15: error: cam1: no compose file of its host has a service 'ocs-cam1'. "
        "Did you mean 'ocs-cma1'? Services: 'cam2', 'db', 'ocs-cma1'.",
        "site.yaml:18:15: error: cam2: no compose file of its host has a service 'ocs-cam2'. "
        "Did you mean 'cam2'? Services: 'cam2', 'db', 'ocs-cma1'.",
        "site.yaml:21:15: error: x: no compose file of its host has a service 'ocs-x'. "
        "Services: 'cam2', 'db', 'ocs-cma1'.",
    ]


@pytest.mark.parametrize(("prefix", "service"), [("", "cam"), ("site-", "site-cam")])
def test_the_prefix_of_the_manager_counts(check, tmp_path, prefix, service):
    services(tmp_path / "c.yaml", service)
    argv = ["--docker-compose", "c.yaml", f"--docker-service-prefix={prefix}"]
    assert check(daq1=[manager("daq1", *argv), docker("cam")])[:2] == (0, [])
    code, lines, _ = check(daq1=[manager("daq1", *argv[:2]), docker("cam")])
    assert (code, len(lines)) == (1, 1)


def test_files_are_found_from_the_working_directory_of_the_manager(check, tmp_path):
    services(tmp_path / "there" / "c.yaml", "ocs-cam")
    services(tmp_path / "there" / "d.yaml", "ocs-tel")
    argv = ["--working-dir", str(tmp_path / "there"), "--docker-compose", "c.yaml, d.yaml"]
    assert check(daq1=[manager("daq1", *argv), docker("cam"), docker("tel")])[:2] == (0, [])


def test_files_of_other_hosts_that_are_not_here_can_be_named(check, tmp_path):
    entries = [manager("daq1", "--docker-compose", "/etc/ocs/c.yaml"), docker("cam")]
    code, lines, notice = check(daq1=entries)
    assert (code, lines) == (0, [])
    assert "not checked: compose file /etc/ocs/c.yaml of host daq1: it is not on this machine" in (
        notice
    )
    services(tmp_path / "copy.yaml", "ocs-tel")
    code, lines, _ = check("--docker-compose", "daq1=copy.yaml", daq1=entries, daq2=[])
    assert code == 1
    assert "cam: no compose file of its host has a service 'ocs-cam'" in lines[0]
    assert check("--docker-compose", "copy.yaml", daq1=entries)[0] == 1
    for argv in ("copy.yaml", "dag1=copy.yaml"):
        code, _, notice = check("--docker-compose", argv, daq1=entries, daq2=[])
        assert code == 2
        assert "--docker-compose" in notice
    code, lines, _ = check("--docker-compose", "daq1=gone.yaml", daq1=entries)
    assert code == 1
    assert "the compose file gone.yaml is not there" in lines[0]


def test_on_the_host_itself_a_missing_file_is_an_error(check):
    entries = [manager("daq1", "--docker-compose", "gone.yaml"), docker("cam")]
    assert check(daq1=entries)[0] == 0
    with pytest.raises(SystemExit) as end:
        main(["check", "--offline", "--site-host", "daq1", "site.yaml"])
    assert end.value.code == 1


def test_nobody_guesses_which_files_a_manager_is_given(check):
    code, lines, notice = check(daq1=[manager("daq1"), docker("cam"), docker("tel")])
    assert (code, lines) == (0, [])
    assert "not checked: services of 2 agents of host daq1: the compose files of its manager" in (
        notice
    )


def test_a_broken_file_is_reported_in_its_own_lines_and_hides_no_more(check, tmp_path):
    (tmp_path / "c.yaml").write_text("services:\n  ocs-cam: [\n")
    (tmp_path / "d.yaml").write_text("services:\n  a: {image: x}\n  ocs-tel: {}\n")
    entries = [manager("daq1", "--docker-compose", "c.yaml,d.yaml"), docker("cam"), docker("tel")]
    code, lines, _ = check(daq1=entries)
    assert code == 1
    assert [line.split(": error: ")[0] for line in lines] == ["c.yaml:3:1", "d.yaml:3:1"]
    assert "not valid YAML" in lines[0]
    assert "neither an image nor a build context" in lines[1]
    assert str(tmp_path) not in "".join(lines)


def test_a_service_in_two_files_is_reported(check, tmp_path):
    services(tmp_path / "c.yaml", "ocs-cam")
    services(tmp_path / "d.yaml", "ocs-cam")
    code, lines, _ = check(
        daq1=[manager("daq1", "--docker-compose", "c.yaml,d.yaml"), docker("cam")]
    )
    assert code == 1
    assert "the service 'ocs-cam' is in c.yaml and in d.yaml" in lines[0]


def test_a_service_for_an_agent_of_the_host_is_doubtful(check, tmp_path):
    services(tmp_path / "c.yaml", "ocs-cam")
    entries = [manager("daq1", "--docker-compose", "c.yaml"), docker("cam", "host")]
    code, lines, _ = check(daq1=entries)
    assert code == 0
    assert "warning: cam: there is a compose service 'ocs-cam' for it" in lines[0]


def test_without_a_compose_command_files_are_read_as_yaml(check, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    services(tmp_path / "c.yaml", "ocs-tel", include=["more.yaml"])
    (tmp_path / "d.yaml").write_text("nothing: here\n")
    (tmp_path / "e.yaml").write_text("services: {a: {}\n")
    files = "c.yaml,d.yaml,e.yaml"
    code, lines, notice = check(daq1=[manager("daq1", "--docker-compose", files), docker("cam")])
    assert code == 1
    assert [line.split(": error: ")[0] for line in lines] == ["e.yaml:2:1"]
    assert (
        "not checked: compose files, except for their YAML: No compose command was found" in notice
    )
    code, _, notice = check(
        "--docker-compose-bin", "/no/such", daq1=[manager("daq1", "--docker-compose", "c.yaml")]
    )
    assert code == 2
    assert "--docker-compose-bin cannot be used" in notice


@pytest.mark.skipif(
    shutil.which("docker-compose") is None, reason="docker-compose (any version) is not installed"
)
def test_the_real_command_says_what_a_file_means(check, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", os.defpath + ":/usr/local/bin")
    (tmp_path / "base.yaml").write_text("services:\n  base: {image: x}\n")
    (tmp_path / "c.yaml").write_text(
        "version: '3'\nx-a: &a\n  image: y\nservices:\n  ocs-cam: *a\n  ocs-tel:\n    imag: z\n"
    )
    entries = [manager("daq1", "--docker-compose", "c.yaml"), docker("cam")]
    code, lines, notice = check(daq1=entries)
    if "No compose command" in notice:
        pytest.skip("the compose command of this machine does not answer")
    assert code == 1
    assert lines[0].startswith("c.yaml:7:1: error: ")
    (tmp_path / "c.yaml").write_text(
        "version: '3'\nx-a: &a\n  image: y\nservices:\n  ocs-cam: *a\n"
    )
    assert check(daq1=entries)[:2] == (0, [])
