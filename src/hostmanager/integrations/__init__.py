"""Files for other programs: alert rules for Prometheus, dashboards for Grafana."""

from pathlib import Path
from typing import NamedTuple

DIRECTORY = Path(__file__).parent


class Integration(NamedTuple):
    """A file for another program.

    Attributes:
        file: Its name, which is also that under which it is usually kept.
        help: What it is, and where it goes.
    """

    file: str
    help: str

    def read(self) -> str:
        """Its text."""
        return (DIRECTORY / self.file).read_text(encoding="utf-8")


INTEGRATIONS = {
    "prometheus": Integration(
        "hostmanager.rules.yml", "alert rules; named in rule_files of prometheus.yml"
    ),
    "prometheus-tests": Integration(
        "hostmanager.rules.test.yml", "their unit tests, for `promtool test rules`"
    ),
    "grafana": Integration(
        "dashboard-prometheus.json", "dashboard with Prometheus as its data source"
    ),
    "influxdb": Integration(
        "dashboard-influxdb.json", "dashboard with InfluxDB as its data source"
    ),
}
