"""The corpus of `check` against those whose word counts: PyYAML, OCS's reader, autobahn, the agents.

The lines that the corpus expects could be wrong as a whole; these do not know of our code.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from autobahn.rawsocket import util as rawsocket
from autobahn.wamp.exception import InvalidUriError
from autobahn.wamp.message import check_or_raise_uri
from autobahn.websocket import util as websocket
from ocs.site_config import SiteConfig
from tests.support.corpus import RIGHT, WRONG, header

UNREADABLE = (
    "the YAML cannot be read",
    "is not allowed in YAML",
    "git left a conflict",
    "second YAML document",
)
GETS = re.compile(r"so the agent gets '(.*?)'\. ")
REFUSED = re.compile(r"refuses its arguments: (.*?)\.(?: Did you mean .*)?$")


def expected(path: Path) -> str:
    return "\n".join(header(path, "expect"))


def files_that_expect(*texts: str) -> list[Path]:
    return [path for path in WRONG if any(text in expected(path) for text in texts)]


def named(paths: list[Path]) -> Any:
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)


def problem_lines(path: Path) -> set[int]:
    """The lines at which PyYAML's two readers refuse a file; 0: one does not say where."""
    lines = set()
    for loader in (yaml.SafeLoader, yaml.CSafeLoader):
        try:
            yaml.load(path.read_bytes(), loader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            lines.add(mark.line + 1 if mark else 0)
    return lines


@named([*WRONG, *RIGHT])
def test_yaml_that_check_cannot_read_is_what_pyyaml_refuses_at_the_same_line(path):
    lines = problem_lines(path)
    assert bool(lines) == (path in files_that_expect(*UNREADABLE))
    if lines - {0} and "git left" not in expected(path):  # ours begins at the first of its marks
        assert int(expected(path).partition(":")[0]) in lines


@named([*WRONG, *RIGHT])
def test_what_ocs_cannot_read_is_an_error_and_what_is_no_error_ocs_reads(path):
    try:
        SiteConfig.from_yaml(str(path))
    except Exception:
        assert "error: " in expected(path)


def arguments(path: Path) -> Iterator[str]:
    """The words that OCS gives to all agents of a file: as its `agent_cli` makes them."""
    for host in SiteConfig.from_yaml(str(path)).hosts.values():
        for entry in host.instances:
            for item in entry.get("arguments") or []:
                yield from map(str, item if isinstance(item, list) else [item])


@named([path for path in WRONG if GETS.search(expected(path))])
def test_an_agent_gets_the_argument_that_check_names(path):
    (value,) = GETS.findall(expected(path))
    written = expected(path).rpartition('"')[0].rpartition('"')[2]
    words = list(arguments(path))
    assert value in words
    assert written == value or written not in words


@named(
    [
        path
        for path in WRONG
        if REFUSED.search(expected(path)) and "the manager" not in expected(path)
    ]
)
def test_an_agent_itself_refuses_the_arguments_with_the_same_words(path):
    (reason,) = REFUSED.findall(expected(path))
    result = start(path, "faker1")
    assert result.returncode == 2
    assert result.stdout.rstrip().endswith(f"error: {reason}")  # by way of txaio's log


@named(files_that_expect("which ocs-agent-cli takes for an option"))
def test_ocs_takes_an_id_with_a_dash_for_an_option(path):
    (instance_id,) = re.findall(r"the instance-id '(\S+)' begins with", expected(path))
    result = start(path, instance_id)
    assert result.returncode == 2
    assert "--instance-id: expected one argument" in result.stderr


def start(path: Path, instance_id: str) -> subprocess.CompletedProcess[str]:
    """Start an agent as OCS does."""
    command = [sys.executable, "-m", "ocs.agent_cli", "--instance-id", instance_id]
    return subprocess.run(
        [*command, "--site-file", path, "--site-host", "daq1"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def addresses(path: Path) -> Iterator[str]:
    config = SiteConfig.from_yaml(str(path))
    for host in config.hosts.values():
        for entry in host.instances:
            yield f"{config.hub.data['address_root']}.{entry.get('instance-id')}"


@named(
    files_that_expect(
        "No address at the router has", "has an empty part", "which no router accepts"
    )
)
def test_autobahn_refuses_the_address_of_an_id_that_check_refuses(path):
    with pytest.raises(InvalidUriError):
        for address in addresses(path):
            check_or_raise_uri(address)


def parse(url: str) -> None:
    """Read an address as autobahn does when it connects."""
    module = rawsocket if url.startswith(("rs:", "rss:")) else websocket
    module.parse_url(url)


@named(files_that_expect("not the address of a websocket", "as for 'wamp_http'. Write ws"))
def test_autobahn_refuses_the_websocket_that_check_refuses(path):
    config = SiteConfig.from_yaml(str(path))
    blocks = [config.hub.data, *(host.data for host in config.hosts.values())]
    with pytest.raises(ValueError, match=r"invalid WebSocket URL|[Pp]ort"):
        for block in blocks:
            parse(block.get("wamp_server", "ws://localhost"))


@named(RIGHT)
def test_autobahn_accepts_all_addresses_of_a_right_file(path):
    config = SiteConfig.from_yaml(str(path))
    for block in (config.hub.data, *(host.data for host in config.hosts.values())):
        parse(block.get("wamp_server", "ws://localhost"))
    for address in addresses(path):
        check_or_raise_uri(address)
