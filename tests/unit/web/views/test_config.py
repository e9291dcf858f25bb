"""The site config as a page shows it: problems at their lines, secrets, what a reload would change."""

import pytest

from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.site_model import SiteHost
from hostmanager.client.status.findings import build_host_status
from hostmanager.client.watch.poller import NO_ANSWER_YET
from hostmanager.siteconfig.site_file import load_all_hosts
from hostmanager.web.views.config import host_config, read_config_file

FILE = """\
hub: {wamp_server: 'ws://r:8001/ws', wamp_http: 'http://r:8001/call', wamp_realm: r, address_root: o}
hosts:
  daq1:
    agent-instances:
      - {instance-id: hm-daq1, agent-class: HostManager}
      - instance-id: acu
        agent-class: ACUAgent
        arguments: [--password, 0123]
      - instance-id: det/1
        agent-class: DetAgent
        manage: maybe
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(FILE)
    return path


def test_each_problem_is_at_its_line_and_no_secret_is_in_its_text(path):
    file = read_config_file(str(path))

    secret, manage = file.problems
    assert (secret.line, secret.text) == (
        8,
        "acu: what stands here is not what was probably meant; `hostmanager check` says why.",
    )
    assert (manage.line, manage.severity) == (11, "wrong")
    assert "'maybe'" in manage.text
    assert set(file.problems_at()) == {8, 11}
    assert file.entries["daq1", "acu"] == 6
    assert file.hosts == {"daq1": 3}
    assert "0123" not in "\n".join(file.lines)


def test_a_file_that_cannot_be_parsed_is_shown_with_its_error(path):
    path.write_text(FILE.replace("hosts:", "hosts: ["))

    file = read_config_file(str(path))

    assert len(file.lines) == FILE.count("\n") + 1
    assert file.problems[0].severity == "wrong"
    assert file.problems[0].line
    assert "0123" not in "\n".join(file.lines)


def test_of_a_file_that_is_too_large_only_the_problems_are_shown(path, monkeypatch):
    monkeypatch.setattr("hostmanager.web.views.config.MAX_SHOWN_CHARS", 100)

    file = read_config_file(str(path))

    assert not file.lines
    assert "too many to be shown" in file.note
    assert [problem.line for problem in file.problems] == [8, 11]
    assert not any("0123" in problem.text for problem in file.problems)


def test_a_file_that_is_not_there_is_named_as_such(tmp_path):
    file = read_config_file(str(tmp_path / "site.yaml"))

    assert not file.lines
    assert file.note == "It cannot be read here."
    assert "there is no such file" in file.problems[0].text


def status(path, session, manager="hm-daq1"):
    file = load_all_hosts(path)["daq1"]
    host = SiteHost("daq1", manager, {}, file.diagnostics, file)
    return build_host_status(host, session)


def child(name):
    return {
        "instance_id": name,
        "agent_class": "ACUAgent",
        "target_state": "up",
        "next_action": "up",
        "manage": "host/up",
        "arguments": ["--password", "***"],
        "settings": {},
    }


def session(*children):
    return {
        "status": "running",
        "data": {
            "child_states": list(children),
            "config_parse_status": {
                "[SCF]": [False, 1000.0, "1 instance, 1 error: no"],
                "compose.yaml": [True, 1000.0, "2 services"],
            },
            "config_warnings": {"[SCF]": "site.yaml:3: twice"},
            "now": 2000.0,
        },
    }


def test_what_a_manager_has_read_and_what_a_reload_would_change(path):
    config = host_config(status(path, session(child("gone"))))

    assert (config.read_at, config.is_ok) == (1000.0, False)
    assert config.text == "its manager cannot use all of the site config: no"
    assert config.warnings == ["site.yaml:3: twice"]
    assert config.other_files == [("compose.yaml", True, "2 services")]
    assert [(each.what, each.instance_id) for each in config.changes] == [
        ("add", "acu"),
        ("stop", "gone"),
        ("broken", "det/1"),
    ]
    assert config.differs


def test_where_only_a_broken_entry_is_left_the_file_does_not_differ(path):
    config = host_config(status(path, session(child("acu"))))

    assert [each.what for each in config.changes] == ["broken"]
    assert not config.differs


@pytest.mark.parametrize(
    ("answer", "manager", "why"),
    [
        (NO_ANSWER_YET, "hm-daq1", "does not answer: no answer yet"),
        (ManagerError(FailureKind.ROUTER, "no router"), "hm-daq1", "does not answer: no router"),
        ({"status": "done"}, "hm-daq1", "does not run"),
        (None, None, "has no manager"),
    ],
)
def test_where_nobody_knows_that_is_said(path, answer, manager, why):
    config = host_config(status(path, answer, manager))

    assert why in config.unknown
    assert config.changes is None
    assert not config.agents
