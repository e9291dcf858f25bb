"""Prometheus, Alertmanager and InfluxDB as child processes on loopback, and a receiver of alerts."""

import json
import os
import shutil
import subprocess
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest
import requests
import yaml

from hostmanager.integrations import INTEGRATIONS
from hostmanager.testing.ports import free_port
from tests.support.waiting import wait_for

PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "influxd": "influxdb",
}


def program(name: str) -> str:
    """The path of a program of Debian's; skips the test if it is not installed."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (apt-get install {PACKAGES[name]})")
    return path


class Service:
    """A program in a directory of its own, which answers at `url` once it is ready."""

    def __init__(self, directory: Path, argv: list[str], url: str, ready: str) -> None:
        self.url = url
        self._log = directory / "log"
        environment = {**os.environ, "GOMAXPROCS": "1", "HOME": str(directory)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                argv, cwd=directory, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            wait_for(lambda: requests.get(url + ready, timeout=5).ok, 20, argv[0], self._output)
        except BaseException:
            self.stop()
            raise

    def _output(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def get(self, path: str, **params: Any) -> Any:
        """What it answers to a question."""
        return requests.get(self.url + path, params=params, timeout=30).json()


class Receiver:
    """Takes the messages of Alertmanager's webhook."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        alerts = self.alerts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                alerts.extend(json.loads(body)["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,))
        self._thread.start()

    def of(self, name: str, agent: str) -> list[dict[str, Any]]:
        """The messages about an alert of an agent; their status is firing or resolved."""
        found = [a for a in self.alerts if a["labels"].get("agent") == agent]
        return [a for a in found if a["labels"]["alertname"] == name]

    def close(self) -> None:
        """Take no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def start_alertmanager(directory: Path, receiver: str) -> Service:
    """Alertmanager, alone (without its port for others), that tells one receiver at once."""
    directory.mkdir()
    times = {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"}
    config = {
        "route": {"receiver": "test", "group_by": ["instance", "agent"], **times},
        "receivers": [{"name": "test", "webhook_configs": [{"url": receiver}]}],
    }
    (directory / "config.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    argv = [program("prometheus-alertmanager"), "--config.file=config.yml", "--storage.path=data"]
    argv += [f"--web.listen-address={address}", "--cluster.listen-address="]
    return Service(directory, argv, f"http://{address}", "/-/ready")


def start_prometheus(directory: Path, target: str, alertmanager: str) -> Service:
    """Prometheus, with our rules; what they wait for is a hundredth of the usual."""
    directory.mkdir()
    rules = INTEGRATIONS["prometheus"].read()
    rules = rules.replace("> 20)", "> 1)").replace("[30s]", "[2s]")
    groups = yaml.safe_load(rules)
    for group in groups["groups"]:
        group["rules"] = [rule | {"for": "0s"} for rule in group["rules"]]
    (directory / "rules.yml").write_text(yaml.safe_dump(groups))
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "hostmanager", "static_configs": [{"targets": [target]}]}],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
    }
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    argv = [program("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    argv += [f"--web.listen-address={address}"]
    return Service(directory, argv, f"http://{address}", "/-/ready")


def start_influxdb(directory: Path) -> Service:
    """InfluxDB, which reports to nobody."""
    directory.mkdir()
    http, rpc = (f"127.0.0.1:{free_port()}" for _ in range(2))
    (directory / "influxdb.conf").write_text(
        f"""reporting-disabled = true
bind-address = "{rpc}"
[meta]
  dir = "{directory}/meta"
[data]
  dir = "{directory}/data"
  wal-dir = "{directory}/wal"
[monitor]
  store-enabled = false
[http]
  bind-address = "{http}"
  log-enabled = false
"""
    )
    argv = [program("influxd"), "-config", "influxdb.conf"]
    return Service(directory, argv, f"http://{http}", "/ping")
