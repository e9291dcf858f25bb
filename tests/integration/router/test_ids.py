"""Ids that plain OCS runs are run here, too; those that it cannot are refused in words."""

import json
import subprocess
from pathlib import Path

from hostmanager.util.names import encode_id
from tests.faults.test_adoption import all_up, leaders
from tests.integration.router.cli_site import HOSTMANAGER
from tests.support.clients import children, client
from tests.support.sites import instance
from tests.support.waiting import wait_for

ODD = ("kühler", "日本", "a:b*c", "$x'y", "50%", "x=1,y", "é")
"""Each was answered for by an agent of plain OCS at a crossbar."""

WRONG = ("--help", "-rf", "..", "a..b", "a b", "a#b")


def test_ids_that_plain_ocs_runs_are_run(site, start_manager):
    site.write(*map(instance, ODD), instance("kept"))
    manager = start_manager(site)
    wait_for(all_up(site, len(ODD) + 1), 60, "all of them", lambda: leaders(site))
    shown = children(client(site))
    assert {shown[name]["next_action"] for name in ODD} == {"up"}
    wait_for(lambda: all(site.launches(name) for name in ODD), 30, "their launches to be noted")
    before = leaders(site)
    for name in ODD:
        path = Path(shown[name]["output"])
        assert path.name == f"{encode_id(name)}.out"
        output = lambda: client(site).output(instance_id=name).session["data"]["lines"]  # noqa: B023, E731
        wait_for(output, 30, f"output of {name}")
    manager.kill()
    start_manager(site)
    assert leaders(site) == before
    result = subprocess.run(
        [HOSTMANAGER, "down", "--site-file", site.file, "--yes", "kühler", "a:b*c"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert leaders(site).keys() == {*ODD, "kept"} - {"kühler", "a:b*c"}
    assert sorted(path.name for path in (site.state_dir / "locks").iterdir()) == sorted(
        f"{encode_id(name)}.lock" for name in (*ODD, "kept")
    )


def test_ids_that_plain_ocs_cannot_run_are_refused_in_words(site, start_manager):
    site.write(*map(instance, WRONG), instance("good"))
    start_manager(site)
    wait_for(all_up(site, 1), 30, "the good one")
    data = client(site).manager.status().session["data"]
    assert data["config_parse_status"]["[SCF]"][0] is False
    result = subprocess.run(
        [HOSTMANAGER, "check", "--syntax", "--json", site.file],
        check=False,
        capture_output=True,
        text=True,
    )
    text = json.dumps(json.loads(result.stdout), ensure_ascii=False)
    for name in WRONG:
        assert f"the instance-id '{name}'" in text


def test_a_slash_is_part_of_a_name_and_of_no_path(site, start_manager):
    site.write(instance("a/b"))
    start_manager(site)
    wait_for(all_up(site, 1), 30, "the agent")
    assert Path(children(client(site))["a/b"]["output"]).name == "a%2Fb.out"
    assert (site.state_dir / "locks" / "a%2Fb.lock").exists()
    assert not (site.state_dir / "locks" / "a").exists()
