"""Site files for the tests of this room: a good one, and a way to write others."""

import textwrap
from pathlib import Path

import pytest

HUB = """\
hub:
  wamp_server: ws://localhost:8001/ws
  wamp_http: http://localhost:8001/call
  wamp_realm: test_realm
  address_root: observatory
"""

GOOD = (
    HUB
    + """\
hosts:
  daq:
    log-dir: logs
    crossbar_timeout: 20
    crossbar: {}
    agent-instances:
      - instance-id: hm-daq
        agent-class: HostManager
        arguments: [['--initial-state', 'up'], --quiet]
      - instance-id: data1
        agent-class: FakeDataAgent
        arguments: [--mode, [acq, [--rate, 4.5]]]
      - instance-id: data2
        agent-class: FakeDataAgent
        manage: host/down
      - instance-id: data3
        agent-class: FakeDataAgent
        manage: docker/up
      - instance-id: data4
        agent-class: FakeDataAgent
        manage: ignore
  other:
    wamp_server: ws://other:8001/ws
    agent-instances: []
"""
)


def site_of(entries: str, host: str = "daq") -> str:
    """Write a site of one host whose agent-instances begin on line 9, in column 7."""
    text = textwrap.indent(textwrap.dedent(entries).strip("\n"), "      ")
    return f"{HUB}hosts:\n  {host}:\n    agent-instances:\n{text}\n"


@pytest.fixture
def scf(tmp_path: Path):
    """Write a text or bytes to a site file, and give its path."""

    def write(content: str | bytes, name: str = "site.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write
