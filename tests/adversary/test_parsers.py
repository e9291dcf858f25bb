"""Every parser of bytes that somebody else writes: a value, "not ours" or its declared error.

What counts as an error is the parser's own (`RequestError`, `SiteFileError` …); any other exception
fails. Values are used as the program uses them: shown, put into JSON, made into names of files.
"""

import gzip
import itertools
import json
import os
import resource
import struct
import tempfile
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hostmanager.agent.operations.history import check_query
from hostmanager.agent.operations.output import check_output_query
from hostmanager.agent.targets.store import TargetStore
from hostmanager.composefile import loader as reading
from hostmanager.composefile import yaml_source as raw
from hostmanager.composefile.command import CompletedCommand
from hostmanager.composefile.model import ComposeFileError
from hostmanager.core.events import Timestamp
from hostmanager.core.protocols import Timer
from hostmanager.core.requests import RequestError, validate_requests
from hostmanager.drivers.compose import container as containers
from hostmanager.drivers.process import non_child_exit as strangers
from hostmanager.drivers.process.ownership import env_tag as marks
from hostmanager.drivers.process.ownership import manager_identity as identity
from hostmanager.drivers.process.ownership import rlimit_tag as stamps
from hostmanager.drivers.process.ownership.env_tag import EnvTag
from hostmanager.journal import EntryKind, Journal
from hostmanager.journal.entry import from_row
from hostmanager.logd import paths as names
from hostmanager.logd.client import LogDaemonClient
from hostmanager.logd.control_pipe import ControlPipe
from hostmanager.logd.reader import position, position_at, tail
from hostmanager.logd.timestamps import TimestampIndex
from hostmanager.siteconfig.diagnostics import SiteFileError
from hostmanager.siteconfig.plugins import argument_probe as arguments
from hostmanager.siteconfig.plugins import installed_classes as classes
from hostmanager.siteconfig.site_file import load_site_file
from hostmanager.util import procfs as proc
from tests.support.seeds import examples

DIGITS = "9" * 5000
NUMBERS = st.sampled_from(
    ["0", "1", "-1", "²", "٣", "1e3", "nan", "inf", "", " 1", str(2**63), DIGITS]
)
TEXTS = st.text(max_size=40) | st.sampled_from(
    [
        "",
        "..",
        "a b\n",
        "x" * 300,
        "../../etc/x",
        "\udcff",
        "a\x1b[2J",
        "a/b",
        "\0",
        "kühler",
        DIGITS,
    ]
)
BYTES = st.binary(max_size=300)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | NUMBERS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


def shown(value: object) -> None:
    """What reaches people and clients can be written."""
    str(value).encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
def directory():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


FRESH = itertools.count()


def fresh(directory: Path) -> Path:
    made = directory / str(next(FRESH))
    made.mkdir()
    return made


# --- processes ----------------------------------------------------------------------------


@given(st.lists(TEXTS | NUMBERS, max_size=7).map("/".join) | TEXTS)
@examples(300)
def test_a_mark(text):
    mark = marks.parse_tag(text)
    if mark is not None:
        names.pipe("/state", mark.instance_id)
        shown(mark)
        assert mark.ticks < 2**63


GOOD_MARK = EnvTag("k", "a", "f", 1, "c", "0" * 32, "site").variables
VARIABLES = st.sampled_from(
    [
        *(f"{name}={value}".encode() for name, value in GOOD_MARK.items()),
        *(b"OCS_HOSTMANAGER_IDENTITY=/" * 2, b"OCS_HOSTMANAGER_IDENTITY=", b"OCS_HOSTMANAGER="),
    ]
)


@given(st.lists(BYTES | VARIABLES, max_size=4), BYTES)
@examples(300)
def test_an_environment(entries, more):
    content = b"\0".join(entries) + more

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proc, "read_file", lambda *_: content)
        tag = marks.read_tag(1)
    if tag is not None:
        names.validate_id(tag.instance_id)
        assert tag.identity == "" or marks.is_identity(tag.identity)


@given(BYTES | st.lists(TEXTS | st.just("0" * 32), max_size=5).map("\n".join))
@examples(100)
def test_a_kept_identity(directory, content):
    path = directory / "identity"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
    assert all(map(marks.is_identity, identity._read(path)))


@given(
    BYTES
    | st.lists(NUMBERS, max_size=5).map(lambda n: ("Name:\ta\nUid:\t" + "\t".join(n)).encode())
)
@example(b"Name:\ta\nUid:\t" + b"\t".join([str(os.geteuid()).encode()] * 4) + b"\nGid:")
@examples(150)
def test_whose_a_process_is(content):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proc, "read_file", lambda *_: content)
        uids = content.partition(b"\nUid:\t")[2].partition(b"\n")[0].split()
        assert proc.has_our_uids(1) == (uids == [str(os.geteuid()).encode()] * 4)


STAT = [b"1", b"(a)", b"S", *([b"1"] * 50)]


@given(
    BYTES
    | st.tuples(st.integers(0, 52), BYTES | NUMBERS.map(str.encode)).map(
        lambda change: b" ".join([*STAT[: change[0]], change[1], *STAT[change[0] + 1 :]])
    )
)
@examples(300)
def test_a_stat(content):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proc, "read_file", lambda *_: content)
        patch.setattr(strangers, "_by_pidfd", lambda _pidfd: None)
        for read in (
            proc.read_stat,
            proc.start_ticks,
            proc.is_zombie,
            proc.parent_pid,
            proc.zombie_exit_code,
        ):
            shown(read(1))
        shown(strangers.exit_status(1, -1))


@given(st.integers(-1, 2**64))
@example(resource.RLIM_INFINITY)
@examples(300)
def test_an_rlimit_tag(value):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resource, "prlimit", lambda *_: (value, resource.RLIM_INFINITY))
        tag = stamps.read(1)
    if tag is not None:
        assert 0 <= tag.pid < 2**22
        assert tag.started >= 0


# --- the process that writes output --------------------------------------------------------

ORDERS = st.sampled_from(["add", "drop", "at", "quit", "end", "ADD", ""])


@given(
    st.lists(
        BYTES
        | st.tuples(ORDERS, st.lists(TEXTS | NUMBERS, max_size=5)).map(
            lambda order: " ".join([order[0], *order[1]]).encode("utf-8", "surrogatepass") + b"\n"
        ),
        max_size=6,
    )
)
@examples(200)
def test_the_control_pipe(directory, blocks):
    control = ControlPipe(str(directory / "control"))
    try:
        for block in blocks:
            os.write(control.fd, block)
            for argv in control.read():
                assert argv[0] in ("add", "drop", "at", "quit", "end")
                if len(argv) > 1:
                    names.pipe("/state", argv[1])
                assert all(0 <= int(word) < 2**64 for word in argv[2:])
            assert len(control._partial_line) <= 4096
    finally:
        control.close()
        (directory / "control").unlink()


@given(
    BYTES | st.binary(max_size=100).map(lambda rest: b"hmtimes1" + b"\0" * 8 + rest), st.floats()
)
@example(b"hmtimes1" + b"\xff" * 40, float("nan"))
@examples(300)
def test_times(content, when):
    moments = TimestampIndex(content)
    for offset in (0, 1, 2**63, 2**64):
        shown(moments.at(offset))
    shown((moments.since, moments.first_since(when), len(moments), moments.generation))


@given(BYTES | st.tuples(NUMBERS, TEXTS).map(" ".join))
@examples(100)
def test_who_holds_the_lock(directory, content):
    log_daemon = LogDaemonClient(directory / "state", directory / "files")
    message = content if isinstance(content, str) else content.decode("utf-8", "surrogateescape")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hostmanager.logd.daemon_process.read_lock_holder", lambda _path: message)
        pid, _ = log_daemon._holder()
    assert 0 <= pid < 2**63


PACKED = BYTES.map(gzip.compress)
GOOD_TIMES = struct.pack("<8sQ", b"hmtimes1", 7) + struct.pack("<Qd", 0, 1e9)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "a.out": BYTES,
            "a.out.times": BYTES | st.just(GOOD_TIMES + b"\xff" * 32),
            "a.out.1": BYTES,
            "a.out.1.times": BYTES,
            "a.out.2.gz": BYTES
            | BYTES.map(gzip.compress)
            | BYTES.map(lambda b: gzip.compress(b)[:-3]),
            "a.out.²": BYTES,
        },
    ),
    st.floats() | st.none(),
)
@examples(150)
def test_output_files(directory, files, since):
    here = fresh(directory)
    for name, content in files.items():
        (here / name).write_bytes(content)
    for when, text in tail(here, "a", 50, since):
        assert when is None or isinstance(when, float)
        text.encode()
    position(here, "a")
    position_at(here, "a", since or 0.0)
    names.list_log_files(str(here), "a")


TARGETS = st.fixed_dictionaries(
    {},
    optional={
        "targets": st.dictionaries(TEXTS, st.sampled_from(["up", "down", "passive", "x"])) | JSON,
        "ended": JSON,
        "stopped": JSON,
        "restarts": JSON,
    },
)


# --- clients --------------------------------------------------------------------------------


@given(
    JSON
    | st.lists(
        st.tuples(st.sampled_from(["a", "b", "all"]) | JSON, st.sampled_from(["up", "down"]) | JSON)
        | JSON,
        max_size=5,
    )
)
@examples(300)
def test_requests(requests):
    with suppress(RequestError):
        for request in validate_requests(requests, ["a", "b", "c"], {"c": "it leaves."}):
            assert request.instance_id in ("a", "b", "c", "all")


@given(st.binary(max_size=100) | TARGETS.map(lambda data: json.dumps(data).encode()))
@example(b"[" * 100_000)
@example(b'{"targets": {"a": "up"}}' + b"\0" * 50)
@examples(150)
def test_saved_targets(directory, content):
    path = fresh(directory) / "wanted.json"
    path.write_bytes(content)
    store = TargetStore(path, Clock())
    for target in store.load().values():
        assert target in ("up", "down")
    assert all(isinstance(run, str) for run in store.restarts.values())
    store.close()


class Clock:
    """Wanted asks it for later attempts to write."""

    def now(self) -> Timestamp:
        return Timestamp(0.0, 0.0)

    def call_at(self, _mono, _callback) -> Timer:
        return SimpleNamespace(cancel=lambda: None)


@given(JSON, JSON, JSON)
@examples(300)
def test_queries(instance_id, limit, since):
    for ask, params in (
        (
            check_query,
            {"instance_id": instance_id, "limit": limit, "since": since, "kinds": instance_id},
        ),
        (check_query, {"instance_id": instance_id, "limit": limit, "since": since}),
        (check_output_query, {"instance_id": instance_id, "lines": limit, "since": since}),
    ):
        with suppress(RequestError):
            query = ask(params)
            assert 1 <= query.limit <= 10_000


# --- files that an administrator or another program writes -----------------------------------


@given(BYTES)
@examples(150)
def test_a_site_config(directory, content):
    path = directory / "site.yaml"
    path.write_bytes(content)
    with suppress(SiteFileError):
        load_site_file(path, "daq")


@given(
    st.tuples(st.integers(0, 4096 * 5), st.binary(min_size=1, max_size=200)), st.integers(0, 20_000)
)
@examples(25)
def test_a_journal(directory, change, length):
    """A journal in which somebody has written or which was cut is set aside, or used."""
    path = fresh(directory) / "journal.sqlite"
    messages: list[str] = []
    journal = Journal(path, on_message=messages.append)
    for number in range(20):
        journal.record(EntryKind.REQUEST, f"entry {number}", data={"n": number})
    assert journal.close(20)
    content = bytearray(path.read_bytes())
    at, written = change
    content[at : at + len(written)] = written
    path.write_bytes(content[: length or None])
    journal = Journal(path, on_message=messages.append)
    journal.record(EntryKind.REQUEST, "afterwards")
    with suppress(Exception):
        journal.flush(20)
    for entry in _history(journal):
        json.dumps(entry, allow_nan=False)
    assert journal.close(20)


def _history(journal: Journal) -> list:
    from hostmanager.journal import JournalError

    with suppress(JournalError):
        return journal.history(None, 100, None)
    return []


@given(st.tuples(JSON, JSON, JSON, JSON, JSON), TEXTS | BYTES | JSON.map(json.dumps) | st.none())
@examples(150)
def test_a_row_of_the_journal(before, data):
    assert isinstance(from_row((*before, data))["data"], dict)


# --- what the compose command, the engine and children print ----------------------------------

SERVICE = st.dictionaries(
    st.sampled_from(
        ["image", "build", "scale", "deploy", "stop_grace_period", "container_name", "depends_on"]
    ),
    JSON,
    max_size=5,
)
CONFIG = st.fixed_dictionaries(
    {}, optional={"name": JSON, "services": st.dictionaries(TEXTS, SERVICE) | JSON}
)


@given(TEXTS | JSON.map(json.dumps) | CONFIG.map(json.dumps), st.booleans())
@example("services: {a: {scale: .inf}}", True)
@example("[" * 100_000, False)
@examples(250)
def test_what_compose_says_of_a_file(text, old):
    """These errors `read` takes for an answer that is not understood; others would be its end."""
    with suppress(*reading.MALFORMED_CONFIG):
        services = reading._services(reading._parsed(text, old), {})
        for name, service in services.items():
            shown((name, service))


@given(BYTES, st.lists(TEXTS | NUMBERS, max_size=6).map(".".join))
@example(b"services: {a: [1]}", f"services.a.{DIGITS}")
@example(b"services: {a: {image: 1}}", "service 'a'")
@examples(250)
def test_a_compose_file_and_what_compose_complains_of(directory, content, dotted):
    path = directory / "compose.yaml"
    path.write_bytes(content)
    with suppress(ComposeFileError):
        root = raw.parse_yaml(path)
        for message in (f"services.{dotted}", f"Service '{dotted}'", dotted):
            line = raw.error_line(root, message)
            assert line is None or line > 0
            shown(reading._load_error("compose.yaml", root, CompletedCommand(1, "", message), ()))
    raw.source_files(path)


LABELS = st.dictionaries(
    st.sampled_from(
        [
            containers.PROJECT_LABEL,
            containers.SERVICE_LABEL,
            containers.NUMBER_LABEL,
            containers.ONEOFF_LABEL,
            containers.CONFIG_HASH_LABEL,
            containers.CONFIG_FILES_LABEL,
            containers.WORKING_DIR_LABEL,
            containers.VERSION_LABEL,
        ]
    ),
    TEXTS | NUMBERS,
)
CHECKS = st.lists(st.none() | st.fixed_dictionaries({"Output": TEXTS}), max_size=2)
HEALTH = st.fixed_dictionaries({"Status": TEXTS, "Log": CHECKS})
STATE = st.fixed_dictionaries(
    {},
    optional={
        "Status": TEXTS,
        "StartedAt": TEXTS | st.just("2026-11-25T02:03:04.123456789Z"),
        "FinishedAt": TEXTS | st.just("0001-01-01T00:00:00Z"),
        "Health": st.none() | HEALTH,
        "Error": TEXTS | st.none(),
    },
)


@given(LABELS, STATE, st.text(max_size=20) | NUMBERS.map(lambda n: f"Exited ({n}) 3 hours ago"))
@example(
    {containers.PROJECT_LABEL: "p", containers.SERVICE_LABEL: "s"},
    {},
    f"Exited ({DIGITS}) 3 hours ago",
)
@examples(250)
def test_a_container_of_anybody(labels, state, status):
    """Whoever may start containers chooses labels and names; the engine's own fields are its."""
    inspected = {"Id": "0" * 64, "Config": {"Labels": labels, "Image": "x"}, "State": state}
    listed = {"Id": "0" * 64, "Labels": labels, "Status": status, "State": state.get("Status")}
    for container in (
        containers.from_inspect(inspected),
        containers.from_list(listed, None),
    ):
        if container is not None:
            shown(
                (
                    container,
                    container.exit_status,
                    container.run_key,
                    containers.log_start(container),
                )
            )
    shown(containers.listed_project(listed))


@given(TEXTS)
@examples(200)
def test_times_and_lengths(text):
    assert containers.unix_time(text) >= 0.0
    length = reading.parse_duration(text)
    assert length is None or length >= 0.0


@given(BYTES | JSON.map(lambda value: json.dumps(value).encode()))
@examples(200)
def test_answers_of_children(content):
    shown(classes._parse_reply(content))
    with suppress(ValueError):
        shown(arguments._parse_verdict(json.loads(content)))
