"""The table of `status`, on terminals of all widths."""

import pytest
from tests.support.http_bridge import child, session

from hostmanager.cli.status.table import hosts_table
from hostmanager.client.site_model import SiteEntry, SiteHost
from hostmanager.client.status.findings import build_host_status

HOST = SiteHost("daq1", "hm-daq1", {"a": SiteEntry("a", "FakeDataAgent")})
NUMBERS = ("12.3 %", "82.8 MB", "93.9 MB", "17")
USED = {"cpu": 0.123, "memory": 82_800_000, "memory_peak": 93_900_000, "threads": 17}


@pytest.mark.parametrize("resources", [False, True])
@pytest.mark.parametrize("width", [30, 40, 50, 60, 80, 109, 110, 130])
def test_a_number_is_shown_whole_or_not_at_all(width, resources):
    running = child("a", uptime=723.0, restarts=12345, resources=USED, health="ok")
    status = build_host_status(HOST, session(running))
    heading, _, row = map(str, hosts_table([status], 1000.0, width, resources=resources))
    assert heading.startswith("agent")
    assert "…" not in row
    assert max(map(len, (heading, row))) < width
    if width >= 80:
        assert all(text in row for text in (NUMBERS if resources else ("12345", "12 m 03 s")))
