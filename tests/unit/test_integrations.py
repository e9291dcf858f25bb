"""The files for Prometheus and Grafana, and the command that prints them."""

import json
import re
import sys
from importlib import util
from pathlib import Path

import pytest
import yaml

from hostmanager.agent.metrics.feed import AGENT_FIELDS, HOST_FIELDS, USAGE_FIELDS
from hostmanager.agent.metrics.table import LOOP_LAG, METRICS
from hostmanager.cli.main import main
from hostmanager.integrations import INTEGRATIONS

DOCS = Path(__file__).parents[2] / "docs"
SOURCES = {"grafana": "prometheus", "influxdb": "influxdb"}
STANDARD = {"process_cpu_seconds_total", "up"}


def generator():
    spec = util.spec_from_file_location("make_dashboards", DOCS / "make_dashboards.py")
    module = util.module_from_spec(spec)
    sys.modules["make_dashboards"] = module  # its dataclass wants to know where it is from
    spec.loader.exec_module(module)
    return module


def known_metrics() -> set[str]:
    names = {LOOP_LAG, *STANDARD}
    for metric in METRICS:
        ends = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        names |= {f"{metric.name}{end}" for end in ends}
    return names


def used_metrics(text: str) -> set[str]:
    return set(re.findall(r"\b(?:hostmanager|process)_[a-z0-9_]+", text))


@pytest.mark.parametrize(("name", "source"), SOURCES.items())
def test_a_dashboard_is_what_its_list_of_panels_makes(name, source):
    make = generator()
    assert INTEGRATIONS[name].read() == make.text(source), f"run: {make.COMMAND}"


@pytest.mark.parametrize(("name", "source"), SOURCES.items())
def test_a_dashboard_is_well_formed(name, source):
    board = json.loads(INTEGRATIONS[name].read())
    panels = board["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    cells = set()
    for panel in panels:
        place = panel["gridPos"]
        covered = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not covered & cells, panel["title"]
        cells |= covered
        for target in panel.get("targets", ()):
            assert target["datasource"] == {"type": source, "uid": "${datasource}"}
    assert {v["name"] for v in board["templating"]["list"]} == {"datasource", "host", "agent"}


def test_dashboard_and_rules_use_metrics_that_there_are():
    for name in ("grafana", "prometheus", "prometheus-tests"):
        used = used_metrics(INTEGRATIONS[name].read())
        assert used, name
        assert used <= known_metrics(), name


def test_every_field_that_influxdb_is_asked_for_exists():
    fields = {field.name for field in (*AGENT_FIELDS, *USAGE_FIELDS, *HOST_FIELDS)}
    asked = set()
    for panel in json.loads(INTEGRATIONS["influxdb"].read())["panels"]:
        for target in panel.get("targets", ()):
            asked |= set(re.findall(r'(?:last|mean)\("(\w+)"\)', target["query"]))
    assert len(asked) > 10
    assert asked <= fields


def test_every_rule_says_what_and_what_to_do_and_has_a_test():
    rules = [
        r for g in yaml.safe_load(INTEGRATIONS["prometheus"].read())["groups"] for r in g["rules"]
    ]
    tests = INTEGRATIONS["prometheus-tests"].read()
    for rule in rules:
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["alert"] in tests, f"{rule['alert']} has no test"


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["integrations", *words])
    return ended.value.code or 0


def test_the_command_lists_and_prints(capsys):
    assert run() == 0
    listed = capsys.readouterr().out
    assert all(f"{name} " in listed for name in INTEGRATIONS)
    assert run("prometheus") == 0
    assert capsys.readouterr().out == INTEGRATIONS["prometheus"].read()


def test_a_file_is_written_once_and_another_one_is_not_replaced(tmp_path, capsys):
    assert run("prometheus", "--output", str(tmp_path)) == 0
    written = tmp_path / "hostmanager.rules.yml"
    assert written.read_text() == INTEGRATIONS["prometheus"].read()
    assert run("prometheus", "--output", str(written)) == 0
    written.write_text("mine")
    assert run("prometheus", "--output", str(written)) == 1
    assert "--force replaces it" in capsys.readouterr().err
    assert written.read_text() == "mine"
    assert run("prometheus", "--output", str(written), "--force") == 0
    assert written.read_text() == INTEGRATIONS["prometheus"].read()
    assert [path.name for path in tmp_path.iterdir()] == [written.name]


def test_a_link_that_somebody_else_left_there_leads_nowhere(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    monkeypatch.setattr("os.getpid", lambda: 7)  # or whatever else can be guessed
    for name in (".rules.yml.7", "rules.yml.new"):
        (tmp_path / name).symlink_to(victim)
    assert run("prometheus", "--output", str(tmp_path / "rules.yml")) == 0
    assert victim.read_text() == "mine"


def test_what_cannot_be_written_is_said(tmp_path, capsys):
    assert run("grafana", "--output", str(tmp_path / "no" / "file")) == 1
    assert run("grafana", "--output", "/dev/null", "--force") == 1
    assert run("--output", "x") == 2
    err = capsys.readouterr().err
    for text in ("cannot be written", "/dev/null is not a file", "--output needs a NAME"):
        assert text in err
