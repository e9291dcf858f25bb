"""No secret is in any log, message or file of the manager, whatever fails."""

import os
import signal
from pathlib import Path

import requests

from tests.integration.conftest import SHORT
from tests.integration.router.steps import send, wait_child
from tests.support.clients import client
from tests.support.managers import Manager
from tests.support.processes import processes
from tests.support.sites import instance
from tests.support.waiting import wait_for

CANARY = "canary-e2b7"


def files(*directories: Path) -> dict[Path, bytes]:
    results = {}
    for directory in directories:
        for path in directory.rglob("*"):
            if path.is_file() and not path.is_symlink():
                results[path] = path.read_bytes()
    return results


def test_no_secret_is_in_what_the_manager_writes_and_says(site):
    (site.working_dir / "logs").mkdir()
    site.write(instance("a"), **{"log-dir": "logs"})
    secrets = {"DB_PASSWORD": f"{CANARY}-env", "LOGLEVEL": "debug", "PYTHONASYNCIODEBUG": "1"}
    policy = f"override:{CANARY}-policy-2,{CANARY}-policy-3"
    compose = ("--docker-compose", "nowhere.yaml", "--docker-compose-bin", "/bin/false")
    options = (*SHORT, "--access-policy", policy, "--min-privs", "1", *compose)
    manager = Manager(site, options, surroundings=secrets)
    try:
        manager.wait_ready(60)
        hm = client(site)
        before = wait_child(hm, "a", next_action="up")["pid"]
        procedure = f"{site.address_root}.{site.manager_id}.ops"

        def post(*args: object) -> str:
            body = {"procedure": procedure, "args": list(args), "kwargs": {}}
            return requests.post(site.router.http, json=body, timeout=60).text

        password = f"{CANARY}-given"
        answers = [
            post("start", "update", {"requests": [["a", 5]]}, None, password),
            post("start", "update", {"x": 1}, None, [password]),
            post("start", "update", {"requests": 7}, None, {"x": password}),
            post("stop", "nothing", {}, None, password),
            post("abort", "update", {}, None, password),
            post("wait", "update", {}, "x", password),
            post("status", "manager", {}, None, password),
            post(),
        ]
        send(before, signal.SIGKILL)
        wait_child(hm, "a", next_action="up", restarts=1)
        good = site.file.read_text()
        site.file.write_text("hub: {access_policy: [")
        os.kill(manager.pid, signal.SIGHUP)
        wait_for(lambda: "cannot be used" in manager.output() or "yaml" in manager.output(), 60)
        site.file.write_text(good)
        answers.append(str(hm.manager.status().session))
        answers.append(str(hm.update(requests=[("a", "down")])))
        assert manager.stop() == 0
    finally:
        manager.stop()
    wait_for(lambda: not processes(site), 60, "the last process to end")
    written = files(site.state_dir, site.working_dir, site.directory)
    assert any(path.suffix == ".log" for path in written)
    bad = [str(path) for path, data in written.items() if CANARY.encode() in data]
    assert not bad
    assert not [answer for answer in answers if CANARY in answer]
    assert "failed unexpectedly" not in manager.output()
