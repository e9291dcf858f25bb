"""Targets that cannot be kept in the state directory: that is said, everywhere. (What a full disk and
a read-only one do is in tests/unit/agent/targets/test_store_file.py; the manager's own files would make
room on one that is as small as it can be here.)"""

import pytest

from tests.integration.router.cli_site import make_cli_site
from tests.support.clients import client
from tests.support.sites import instance
from tests.support.waiting import wait_for

cli_site = pytest.fixture(make_cli_site)


def test_a_target_that_cannot_be_kept_is_in_force_and_reported_as_not_kept(cli_site):
    cli_site.write(a=[instance("x"), instance("y")])
    cli_site.start("a")
    wait_for(lambda: cli_site.states() == {"x": "up", "y": "up"}, 30, "both up")
    in_the_way = cli_site.site.directory / "state-a" / "wanted.json.new"
    in_the_way.mkdir()
    result = cli_site.run("down", "x")
    assert result.code == 0
    assert "a: Targets are not kept" in result.err
    assert "wanted.json: Is a directory" in result.err
    reply = client(cli_site.site, "hm-a").update(requests=[["y", "up"]])
    assert reply.session["success"]
    messages = [text for _, text in reply.session["messages"]]
    assert any(text.startswith("y up. Targets are not kept") for text in messages), messages
    assert cli_site.run("status").out.count("Targets are not kept") == 1
    [host] = cli_site.run("status", "--json").json["hosts"]
    assert any("Targets are not kept" in reason for reason in host["reasons"])
    in_the_way.rmdir()
    wait_for(lambda: "not kept" not in cli_site.run("status").out, 60, "it to be kept")
    assert cli_site.run("up", "x").err == ""
    cli_site.managers["a"].kill()
    cli_site.write(a=[instance("x", manage="down"), instance("y")])
    cli_site.start("a")
    wait_for(lambda: cli_site.states() == {"x": "up", "y": "up"}, 30, "both up, x as it was told")
