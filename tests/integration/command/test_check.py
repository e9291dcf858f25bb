"""`hostmanager check` of the file itself, and how it is shown."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hostmanager.cli.check import render as check_show
from hostmanager.cli.check.report import Category, CheckReport
from hostmanager.cli.main import main
from hostmanager.siteconfig.source import Location

ROOT = Path(__file__).parents[3]
HUB = """\
hub:
  wamp_server: ws://127.0.0.1:9/ws
  wamp_http: http://127.0.0.1:9/call
  wamp_realm: r
  address_root: obs
"""


def site(text):
    """A site; its hosts begin on line 7."""
    return f"{HUB}hosts:\n{text}"


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """Check a text: exit status, what is on stdout by lines without the file, and stderr."""
    monkeypatch.chdir(tmp_path)

    def go(text, *arguments):
        (tmp_path / "site.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["check", *(arguments or ["--syntax"]), "site.yaml"])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        lines = [line.removeprefix("site.yaml:") for line in printed.out.splitlines()]
        return end.value.code, lines, printed.err

    return go


GOOD = site("""\
  daq1:
    agent-instances:
      - {instance-id: hm-daq1, agent-class: HostManager}
      - {instance-id: fake1, agent-class: FakeDataAgent, note: mine}
""")


def test_a_good_file_is_good_and_says_what_was_looked_at(check):
    code, lines, notice = check(GOOD)
    assert (code, lines) == (0, [])
    assert notice == "hostmanager check: site.yaml: 1 host, 1 agent: nothing is wrong.\n"


WRONG = [
    # hosts, what is printed (after the file)
    ("  daq1: [", "8:1: error: the YAML cannot be read"),
    (
        "  daq1:\n    agent-instances:\n    - {instance-id: a, agent-class: A, manage: doker}",
        "9:48: error: a: 'manage' is 'doker', which is not a known value. Did you mean 'docker'?",
    ),
    (
        "  daq1:\n    agent-instances:\n    - {instance-id: a, agent-class: A}\n"
        "  daq2:\n    agent-instances:\n    - {instance-id: a, agent-class: B}",
        "12:21: error: a: this id is already used on host 'daq1', line 9;",
    ),
    (
        "  daq1:\n    agent-instances:\n    - {instance-id: a, agent-class: A}\n"
        "    - {instance-id: a, agent-class: B}",
        "10:21: error: a: this id is already used by the entry on line 9, which counts;",
    ),
    (
        "  daq1:\n    agent-instances:\n    - {instance-id: a, agent-class: A}\n"
        "    - {instance-id: a.ops, agent-class: B}",
        "10:21: error: a.ops: the address of this id is among those of 'a'.",
    ),
    (
        "  daq1:\n    agent-instances:\n    - {instance-id: all, agent-class: A}",
        "9:21: error: all: 'all' is not a valid instance-id: commands use it for all agents.",
    ),
    (
        "  daq1:\n    agent-instances:\n    - {instance-id: a, agent-clas: A}",
        "9:7: error: a: 'agent-class' is missing. Is it here as 'agent-clas'?",
    ),
    ("  daq1: {agent-instances: 5}", "7:27: error: 'agent-instances' of host 'daq1' is 5"),
]


@pytest.mark.parametrize(("hosts", "line"), WRONG)
def test_each_error_has_its_place_and_what_would_be_right(check, hosts, line):
    code, lines, _ = check(site(hosts + "\n"))
    assert code == 1
    (error,) = [text for text in lines if "error:" in text]
    assert error.startswith(line)


DOUBTS = [
    (
        "  daq1: {agent-instances: [], log_dir: x}",
        "7:31: warning: nothing reads the key 'log_dir'.",
    ),
    (
        "  daq1: {agent-instances: [], crossbar: {config_dir: x}}",
        "7:42: warning: nothing reads the key 'config_dir'. Did you mean 'config-dir'?",
    ),
    (
        "  daq1:\n    agent-instances:\n    - {instance-id: a, agent-class: A, argumnets: [x]}",
        "9:40: warning: a: nothing reads the key 'argumnets'. Did you mean 'arguments'?",
    ),
    (
        "  daq1:\n    agent-instances:\n    - {instance-id: a, agent-class: A, args: [x]}",
        "9:40: warning: a: nothing reads the key 'args'. Did you mean 'arguments'?",
    ),
    (
        "  daq1:\n    agent-instances:\n    - {instance-id: crossbar, agent-class: A}",
        "9:21: warning: crossbar: OCS's tools call the router 'crossbar';",
    ),
    (
        "  daq1: {agent-instances: [], crossbar: {}}\n  daq2: {agent-instances: [], crossbar: {}}",
        "8:41: warning: host 'daq2' has a 'crossbar', and host 'daq1' has one (line 7)",
    ),
    (
        "  daq1:\n    agent-instances:\n    - {instance-id: a, agent-class: A, "
        "arguments: [--chan, 1, [--chan, 2]]}",
        "9:64: warning: a: the argument '--chan' is here a second time; OCS keeps only the last",
    ),
]


@pytest.mark.parametrize(("hosts", "line"), DOUBTS)
def test_what_is_legal_but_probably_not_meant_is_a_warning(check, hosts, line):
    code, lines, _ = check(site(hosts + "\n"))
    assert code == 0
    (error,) = lines
    assert error.startswith(line)
    assert check(site(hosts + "\n"), "--syntax", "--strict")[0] == 1


@pytest.mark.parametrize("key", ["note", "comment", "agent-name", "serial", "x-args", "5"])
def test_keys_that_are_like_no_known_one_are_nobodys_business(check, key):
    hosts = f"  d:\n    agent-instances:\n    - {{instance-id: a, agent-class: A, {key}: 1}}\n"
    assert check(site(hosts))[:2] == (0, [])


def test_a_hub_that_is_wrong_hides_nothing_of_the_hosts(check):
    text = (
        "hub: {wamp_sever: x, wamp_realm: r, address_root: o}\nhosts:\n  d: {agent-instances: 5}\n"
    )
    code, lines, _ = check(text, "--offline")
    assert code == 1
    assert ["'wamp_server' is missing" in lines[0], "is 5, not a list" in lines[1]] == [True, True]


def test_several_errors_come_in_the_order_of_the_lines(check):
    hosts = "".join(
        f"  d{n}:\n    agent-instances:\n    - {{instance-id: a, agent-class: A, mnage: {n}}}\n"
        for n in range(4)
    )
    numbers = [int(line.split(":")[0]) for line in check(site(hosts))[1]]
    assert numbers == sorted(numbers)
    assert len(numbers) == 7


TWICE = site("""\
  daq1:
    agent-instances: [{instance-id: a, agent-class: A}, {instance-id: x, agent-class: }]
  daq2:
    agent-instances: [{instance-id: a, agent-class: A}]
  daq3:
    agent-instances: [{instance-id: b, agent-class: A}]
  daq4: 5
""")


def test_one_host_can_be_checked_with_what_others_do_to_it(check):
    blocked = "13:9: warning: on host 'daq4': the block of host 'daq4' is 5, not a mapping."
    code, lines, notice = check(TWICE, "--syntax", "--host", "daq1")
    assert code == 1
    assert [line.split(":")[0] for line in lines] == ["8", "8", "13"]
    assert "this id is already used on host 'daq2'" in lines[0]
    assert "1 host, 1 agent" in notice
    code, lines, _ = check(TWICE, "--syntax", "--host", "daq2")
    assert (code, len(lines)) == (1, 2)
    code, lines, _ = check(TWICE, "--syntax", "--host", "daq3")
    assert code == 0
    assert lines[0].startswith(blocked)
    assert check(TWICE, "--syntax", "--host", "daq[34]")[0] == 1


def test_a_host_that_is_not_there_is_a_usage_error_that_names_the_nearest(check):
    code, _, notice = check(GOOD, "--syntax", "--host", "dag1")
    assert code == 2
    assert "no such host. Did you mean 'daq1'?" in notice


# --- files ----------------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_is_exit_status_2(check, tmp_path, capsys):
    check(GOOD)
    for name in ("sit.yaml", "."):
        with pytest.raises(SystemExit) as end:
            main(["check", "--syntax", name])
        assert end.value.code == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", b"hub: \xff\n", "[]", "a: &a [*a]", "- x\n- y\n"]
)
def test_a_file_that_is_no_site_config_is_wrong_not_unreadable(check, text):
    code, lines, _ = check(text, "--syntax")
    assert code == 1
    assert lines


def test_several_files_are_checked_and_the_worst_counts(check, tmp_path, capsys):
    check(GOOD)
    (tmp_path / "bad.yaml").write_text(site("  d: {agent-instances: 5}\n"))
    with pytest.raises(SystemExit) as end:
        main(["check", "--syntax", "--json", "site.yaml", "bad.yaml", "site.yaml"])
    data = json.loads(capsys.readouterr().out)
    assert end.value.code == data["exit"] == 1
    assert [(file["file"], file["errors"]) for file in data["files"]] == [
        ("site.yaml", 0),
        ("bad.yaml", 1),
    ]
    with pytest.raises(SystemExit) as end:
        main(["check", "--syntax", "bad.yaml", "gone.yaml"])
    assert end.value.code == 2


def test_without_a_file_it_is_the_one_that_ocs_would_take(check, tmp_path, monkeypatch, capsys):
    check(GOOD)
    for argv, named in (
        (["--site-file", "site.yaml"], True),
        (["--site", "site"], True),
        (["--site", "none"], False),
        (["--site-file", "site.yaml", "site.yaml"], False),
    ):
        monkeypatch.setenv("OCS_CONFIG_DIR", str(tmp_path))
        with pytest.raises(SystemExit) as end:
            main(["check", "--syntax", *argv])
        assert end.value.code == (0 if named else 2)
    monkeypatch.delenv("OCS_CONFIG_DIR")
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(["check", "--syntax"])
    assert end.value.code == 2
    assert "Name a file, or set OCS_CONFIG_DIR" in capsys.readouterr().err


# --- forms ----------------------------------------------------------------------------------

BROKEN = site(
    "  d:\n    agent-instances:\n    - {instance-id: '--a b%', agent-class: A, manage: x}\n"
)


def test_json_has_everything(check):
    code, lines, notice = check(BROKEN, "--syntax", "--json")
    data = json.loads("\n".join(lines))
    assert (code, data["exit"], data["command"], notice) == (1, 1, "check", "")
    (file,) = data["files"]
    assert {k: file[k] for k in ("file", "hosts", "agents", "errors", "warnings", "readable")} == {
        **{"file": "site.yaml", "hosts": 1, "agents": 0, "errors": 2, "warnings": 0},
        "readable": True,
    }
    first = file["problems"][0]
    assert {key: first[key] for key in first if key not in ("message", "remedy")} == {
        **{"severity": "error", "about": "file", "host": "d", "instance_id": None},
        **{"file": "site.yaml", "line": 9, "column": 21},
    }
    assert first["message"] == "the instance-id '--a b%' has ' ' in it."
    assert first["remedy"] == "No address at the router has white space or '#' in it."


def test_github_gets_its_annotations(check):
    code, lines, _ = check(BROKEN, "--syntax", "--github")
    assert code == 1
    assert lines[0] == (
        "::error file=site.yaml,line=9,col=21,title=hostmanager check%3A file::the instance-id "
        "'--a b%25' has ' ' in it. No address at the router has white space or '#' in it."
    )
    assert all(re.fullmatch(r"::(error|warning) [^:]*::.*", line) for line in lines)


def test_no_text_of_a_file_can_make_a_line_of_its_own(capsys):
    """Else a site config could print workflow commands, or fake a result."""
    report = CheckReport("a\nb,c:d.yaml")
    text = "x\n::error::y\r\x1b[2J%0A"
    report.warning(Category.FILE, Location(1, 2), text, "z\n")
    check_show.render_github(report)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("::warning file=a%0Ab%2Cc%3Ad.yaml,line=1,col=2,")
    assert line.endswith("::x ::error::y ␛[2J%250A z")


def on_a_terminal(*arguments, cwd):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "hostmanager"), "check", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:
            break
        shown += chunk
    os.close(ours)
    return process.wait(60), shown.decode()


def test_on_a_terminal_the_line_is_shown_and_where_in_it(check, tmp_path):
    check(
        site("  d:\n    agent-instances:\n    - {instance-id: a, agent-class: A, manage: doker}\n")
    )
    code, shown = on_a_terminal("--syntax", "site.yaml", cwd=tmp_path)
    assert code == 1
    assert "\x1b[" in shown
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert lines[0] == "site.yaml:9:48: error: a: 'manage' is 'doker', which is not a known value."
    assert lines[1] == "      9 |     - {instance-id: a, agent-class: A, manage: doker}"
    assert lines[2].index("^") == lines[1].index("doker")
    assert lines[3].strip().startswith("Did you mean 'docker'?")
    assert lines[-1] == "site.yaml: 1 host, 0 agents: 1 error."


def test_syntax_alone_imports_no_client_and_starts_nothing(check, tmp_path):
    check(GOOD)
    code = (
        "import sys; from hostmanager.cli.main import main\n"
        "def audit(event, args):\n"
        "    assert event not in ('subprocess.Popen', 'socket.connect', 'os.fork'), event\n"
        "sys.addaudithook(audit)\n"
        "try: main(['check', '--syntax', 'site.yaml'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print(*sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    heavy = {"requests", "twisted", "autobahn", "asyncio", "ocs.ocs_agent", "pydantic"}
    assert not heavy & set(result.stdout.split())


def test_the_hook_for_pre_commit_is_a_command_that_exists():
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["id"] == "hostmanager-check"
    argv = hook["entry"].split() + hook["args"]
    assert argv[:2] == ["hostmanager", "check"]
    result = subprocess.run(
        [str(Path(sys.executable).parent / "hostmanager"), *argv[1:], "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "exit status:" in result.stdout
    assert re.search(hook["files"], "config/default.yaml")
    assert not re.search(hook["files"], "docker-compose.yaml")


def test_the_rules_of_the_alarm_service_are_checked(check, tmp_path):
    rules = tmp_path / "alerts.yaml"
    rules.write_text("receivers:\n  a: {urls: ['mailto://s3cr3t', !env NOT_SET]}\n")
    hosts = site(
        "  daq1:\n    agent-instances: [{instance-id: hm-daq1, agent-class: HostManager}]\n"
    )
    code, lines, err = check(hosts, "--offline", "--elsewhere")
    assert code == 1
    wrong = (
        "alerts.yaml:2:14: error: URL 1 of receiver 'a' cannot be used by apprise. Write mailto:"
    )
    assert [line.startswith(wrong) for line in lines] == [True], lines
    assert "the variable NOT_SET is not set" in err
    assert "s3cr3t" not in repr((lines, err))
