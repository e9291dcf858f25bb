"""What a command imports decides how long it takes: nothing heavy without need.

Found out by what is there when the command ends. A figure in seconds would only say how busy the
machine is.
"""

import json
import os
import subprocess
import sys

import pytest

HEAVY = {
    "aiohttp",
    "apprise",
    "autobahn",
    "numpy",
    "pydantic",
    "requests",  # with urllib3: half of what `status` imported
    "subprocess",
    "textual",
    "twisted",
    "urllib3",
    "uvloop",
    "importlib.metadata",
    "hostmanager.agent",
    "hostmanager.core.events",
    "hostmanager.core.transitions",
    "hostmanager.drivers",
}
"""Each takes longer than a command needs for its work."""

ASKS_ROUTER = {
    "status": (),
    "up": ("a",),
    "history": (),
    "logs": ("a", "--lines", "1"),
    "orphans": (),
    "diff": (),
}

SCRIPT = """
import json, sys
from hostmanager.cli.entry_point import main
try:
    main()
except SystemExit as end:
    print(json.dumps([end.code, sorted(sys.modules)]), file=sys.stderr)
"""


def end_of(*arguments: str) -> tuple[int, set[str]]:
    """Run a command: its exit code, and which of the modules named above were imported."""
    script = [sys.executable, "-c", SCRIPT, *arguments]
    environ = {name: value for name, value in os.environ.items() if "PROXY" not in name.upper()}
    environ |= {"HOME": "/nonexistent"}  # of `.netrc`
    result = subprocess.run(script, check=False, capture_output=True, text=True, env=environ)
    code, names = json.loads(result.stderr.splitlines()[-1])
    return code, HEAVY.intersection(names)


@pytest.fixture(scope="module")
def site_file(tmp_path_factory) -> str:
    """A site at whose router nobody listens."""
    path = tmp_path_factory.mktemp("imports") / "site.yaml"
    path.write_text(
        "hub: {wamp_server: 'ws://127.0.0.1:9/ws', wamp_http: 'http://127.0.0.1:9/call',\n"
        "      wamp_realm: realm, address_root: observatory}\n"
        "hosts:\n"
        "  host1:\n"
        "    agent-instances:\n"
        "    - {instance-id: hm-host1, agent-class: HostManager}\n"
        "    - {instance-id: a, agent-class: FakeDataAgent}\n"
    )
    return str(path)


@pytest.mark.parametrize("words", [("version",), ("help", "status"), ("completion", "bash")])
def test_what_asks_nobody_imports_nothing_heavy(words):
    assert end_of(*words) == (0, set())


@pytest.mark.parametrize("command", ASKS_ROUTER)
def test_a_request_over_plain_http_needs_none_of_it(command, site_file):
    assert end_of(command, *ASKS_ROUTER[command], "--site-file", site_file) == (3, set())


def test_the_page_without_its_extra_says_how_to_install_it():
    script = f"import sys; sys.modules['jinja2'] = None\n{SCRIPT}"
    result = subprocess.run(
        [sys.executable, "-c", script, "web"], check=False, capture_output=True, text=True
    )
    assert json.loads(result.stderr.splitlines()[-1])[0] == 2
    assert "pip install 'ocs-hostmanager[web]'" in result.stderr


LISTENS = """
import asyncio
from contextlib import suppress
from types import SimpleNamespace as Some
from hostmanager.client.watch.feed_listener import FeedListener

hub = {"wamp_server": "ws://127.0.0.1:9/ws", "wamp_realm": "r", "address_root": "o"}
site = Some(config=Some(hub=Some(data=hub)), managers={})

async def main():
    lost = asyncio.Event()
    listening = asyncio.create_task(FeedListener(site, Some(feed_lost=lost.set)).run())
    await lost.wait()
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening

asyncio.run(main())
"""


def test_the_feeds_are_listened_to_by_a_process_that_has_not_used_autobahn_before():
    # Its serializers fail in a process that has not said yet whether it uses asyncio or Twisted.
    command = [sys.executable, "-c", LISTENS]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
