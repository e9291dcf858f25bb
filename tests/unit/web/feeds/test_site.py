"""Messages for browsers: each has what has changed since the version that the browser has."""

import json
from types import SimpleNamespace

from hostmanager.client.site_model import SiteHost
from hostmanager.client.status.model import AgentStatus, HostStatus, StatusSeverity
from hostmanager.client.watch.host_board import HeardAgent
from hostmanager.web.feeds.site import SiteFeed
from hostmanager.web.pages import TEMPLATES
from hostmanager.web.urls import make_url


class Live:
    """A site whose versions a test makes."""

    def __init__(self) -> None:
        self.version, self.router_error = 1, None
        self.site = SimpleNamespace(hosts={"daq1": None, "daq 2": None})
        self.severities = dict.fromkeys(self.site.hosts, StatusSeverity.OK)
        self.changed: dict[str, int] = {}

    def hosts(self):
        return [
            HostStatus(
                SiteHost(name, f"hm-{name}", {}), None, "running", {}, (agent(name, severity),)
            )
            for name, severity in self.severities.items()
        ]

    def age(self, host):
        return float("inf") if host == "daq 2" else 1.25

    def unmanaged(self):
        return [HeardAgent("lone<ly>", "Old", "daq1")]

    def change(self, host, severity):
        self.version += 1
        self.severities[host], self.changed[host] = severity, self.version

    async def changes(self, since):
        assert self.version > since, "nobody would be told"
        return self.version, {host for host, version in self.changed.items() if version > since}


def agent(host, severity):
    child = {"instance_id": "det/1", "agent_class": "Fake", "target_state": "up", "uptime": 3.0}
    return AgentStatus(host, "det/1", child, None, "up", severity, ("it is <so>",), 0.0)


def feed_of(live):
    context = {"url": lambda *parts, **query: make_url("", *parts, **query), "live": live}
    template = TEMPLATES.get_template("site_parts.html")
    common = {"read_only": False, "pages": frozenset(), "job_about": lambda *agent: None}
    parts = template.make_module({**context, **common})
    return SiteFeed(live, parts, "epoch")


async def first_message(feed, since, *, full=True):
    message = await anext(feed.messages(since, full=full))
    name, version, data = message.rstrip("\n").split("\n")
    assert version.startswith("id: epoch-")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def test_a_message_has_the_host_that_changed_and_what_depends_on_it():
    live = Live()
    feed = feed_of(live)
    live.change("daq 2", StatusSeverity.ERROR)
    name, data = await first_message(feed, "epoch-1")
    assert (name, data["version"], data["hosts"]) == ("change", "epoch-2", ["daq 2"])
    assert data["ages"] == {"daq1": 1.2, "daq 2": None}
    assert data["parts"]["order"] == "group-daq%202 group-daq1"
    assert "1 wrong" in data["parts"]["summary"]
    assert 'lone&lt;ly&gt; <span class="muted">Old (host daq1)</span>' in data["parts"]["problems"]
    assert "it is &lt;so&gt;" in data["parts"]["group-daq%202"]
    assert "/agent/daq%202/det%2F1" in data["parts"]["group-daq%202"]
    assert "group-daq1" not in data["parts"]


async def test_parts_that_are_known_to_be_the_same_are_left_out():
    live = Live()
    feed = feed_of(live)
    live.change("daq1", StatusSeverity.WARNING)
    await first_message(feed, "epoch-1")
    live.change("daq1", StatusSeverity.WARNING)
    _, data = await first_message(feed, "epoch-2")
    assert set(data["parts"]) == {"group-daq1"}


async def test_a_browser_that_missed_what_nobody_was_told_gets_everything():
    live = Live()
    feed = feed_of(live)
    live.change("daq1", StatusSeverity.ERROR)
    await first_message(feed, "epoch-1")
    live.change("daq1", StatusSeverity.OK)  # a page is loaded now: it shows no problem
    live.change("daq1", StatusSeverity.ERROR)
    _, data = await first_message(feed, "epoch-3")
    assert "1 wrong" in data["parts"]["summary"]
    assert 'lone&lt;ly&gt; <span class="muted">Old (host daq1)</span>' in data["parts"]["problems"]


async def test_a_message_is_made_once_for_all():
    live = Live()
    feed = feed_of(live)
    live.change("daq1", StatusSeverity.ERROR)
    messages = [await anext(feed.messages("epoch-1", full=True)) for _ in range(3)]
    assert messages[0] is messages[1] is messages[2]


async def test_a_page_that_shows_something_else_is_only_told_which_hosts_changed():
    live = Live()
    feed = feed_of(live)
    live.change("daq1", StatusSeverity.ERROR)
    _, data = await first_message(feed, "epoch-1", full=False)
    assert data["hosts"] == ["daq1"]
    assert set(data["parts"]) == {"router"}


async def test_a_page_of_another_server_is_to_be_loaded_again():
    feed = feed_of(Live())
    for since in ("other-1", "", "epoch-", "epoch-x"):
        name, data = await first_message(feed, since)
        assert (name, data["version"]) == ("reload", "epoch-1")


async def test_a_version_that_nobody_has_ever_had_gets_everything():
    live = Live()
    live.change("daq1", StatusSeverity.OK)

    async def changes(_):
        return live.version, {"daq1", "daq 2"}

    live.changes = changes
    name, data = await first_message(feed_of(live), f"epoch-{'9' * 5000}")
    assert (name, data["hosts"]) == ("change", ["daq 2", "daq1"])


async def test_who_has_missed_nothing_knows_at_once_that_the_connection_is_there():
    name, data = await first_message(feed_of(Live()), "epoch-1")
    assert (name, data["ages"]) == ("ages", {"daq1": 1.2, "daq 2": None})
