"""What agents print, read through the manager."""

import json
import os
import time

from tests.support.clients import client
from tests.support.processes import processes_of
from tests.support.sites import instance
from tests.support.users import STRANGER, needs_root
from tests.support.waiting import wait_for


def test_the_newest_lines_come_with_their_times(site, start_manager):
    site.write(instance("a"))
    started = time.time()
    start_manager(site)
    hm = client(site)

    def said():
        data = hm.output(instance_id="a", lines=10).session["data"]
        lines = data.get("lines")
        return lines and "tiny a up pid" in lines[-1][1] and data

    data = wait_for(said, 10, "output")
    json.dumps(data, allow_nan=False)
    when, text = data["lines"][-1]
    assert "tiny a up pid" in text
    assert started - 1 < when < time.time() + 1
    assert data["file"].endswith("a.out")
    assert hm.output(instance_id="a", since=time.time() + 10).session["data"]["lines"] == []


def test_without_an_id_come_the_newest_lines_of_all_agents_each_with_its_id(site, start_manager):
    site.write(instance("a"), instance("b"), instance("silent", manage="down"))
    start_manager(site)
    hm = client(site)

    def lines():
        texts = hm.output().session["data"]["lines"]
        agents = {whose for _, text, whose in texts if f"tiny {whose} up pid" in text}
        return agents == {"a", "b"} and texts

    texts = wait_for(lines, 10, "output of both")
    times = [when for when, _, _ in texts]
    assert times == sorted(times)
    assert len(hm.output(lines=1).session["data"]["lines"]) == 1
    assert hm.output(since=time.time() + 10).session["data"]["lines"] == []


def test_lines_can_be_had_page_by_page(site, start_manager):
    site.write(instance("a", "--behave", "chatty", "--rate", "1e7", "--total", "300000"))
    start_manager(site)
    hm = client(site)
    outcome = site.working_dir / "chatty" / "a"
    wait_for(outcome.exists, 20, "the agent to have written all")
    written = int(outcome.read_text().split()[0])

    def last():
        return hm.output(instance_id="a", lines=1).session["data"]["lines"][-1][1]

    wait_for(lambda: int(last().split()[0]) == written - 1, 10, "the last line", last)
    texts, position = [], None
    while True:
        data = hm.output(instance_id="a", lines=700, before=position).session["data"]
        texts = [text for _, text in data["lines"]] + texts
        position = data["older"]
        if position is None:
            break
    numbers = [int(text.split()[0]) for text in texts if text[:1].isdigit()]
    assert numbers == list(range(written))
    assert written > 2 * 700


def test_no_line_is_lost_over_the_death_of_the_manager(site, start_manager):
    total = 200_000
    site.write(instance("a", "--behave", "chatty", "--rate", "100000", "--total", str(total)))
    first = start_manager(site)
    wait_for(lambda: processes_of(site).get("a"), 20, "the agent")
    first.process.kill()
    first.process.wait()
    result_file = site.working_dir / "chatty" / "a"
    wait_for(result_file.exists, 20, "the agent to have written all, with no manager")
    written = int(result_file.read_text().split()[0])
    start_manager(site)

    def numbers():
        lines = client(site).output(instance_id="a", lines=10000).session["data"]["lines"]
        return [int(text.split()[0]) for _, text in lines if text[:12].isdigit()]

    wait_for(lambda: numbers() and numbers()[-1] == written - 1, 10, "the last line")
    assert numbers() == list(range(written))


NONSENSE: tuple[tuple[dict, str], ...] = (
    ({"instance_id": "../../etc/passwd"}, "There is no output"),
    ({"instance_id": "a b"}, "instance_id"),
    ({"instance_id": 5}, "instance_id"),
    ({"instance_id": "a", "lines": 0}, "lines"),
    ({"instance_id": "a", "lines": "many"}, "lines"),
    ({"instance_id": "a", "since": "yesterday"}, "since"),
    ({"instance_id": "nobody"}, "nobody"),
    ({"instance_id": "a", "before": 5}, "before"),
    ({"instance_id": "a", "before": [1]}, "before"),
    ({"instance_id": "a", "before": [1, -1]}, "before"),
    ({"before": [1, 2]}, "before"),
    ({"lines": 1001}, "lines"),
)


def test_nonsense_is_refused_by_name(site, start_manager):
    site.write(instance("a", manage="down"))
    start_manager(site)
    hm = client(site)
    for params, expected in NONSENSE:
        reply = hm.output(**params)
        assert reply.session["success"] is False, params
        assert expected in reply.session["messages"][-2][1]


@needs_root
def test_root_neither_writes_nor_serves_through_links_in_a_log_dir_of_everybody(
    site, start_manager
):
    """Another user plants links where a root manager would put output, and its own log."""
    logs = site.working_dir / "logs"
    logs.mkdir()
    logs.chmod(0o777)
    secret = site.directory / "secret"
    secret.write_text("secret\n")
    log = f"{site.address_root}.{site.manager_id}.log"
    for name in ("a.out", "b.out", "b.out.1", log):
        (logs / name).symlink_to(secret)
        os.chown(logs / name, STRANGER, STRANGER, follow_symlinks=False)
    site.write(instance("a"), **{"log-dir": "logs"})
    manager = start_manager(site)
    hm = client(site)
    wait_for(lambda: hm.output(instance_id="a").session["data"].get("lines"), 20, "output")
    data = hm.output(instance_id="a").session["data"]
    assert data["file"] == str(site.state_dir / "output" / "a.out")
    assert not hm.output(instance_id="b").session["data"].get("lines")
    assert "is not used by a manager that runs as root" in manager.output()
    assert manager.stop() == 0
    assert secret.read_text() == "secret\n"
    assert all((logs / name).is_symlink() for name in ("a.out", "b.out", "b.out.1", log))
