"""Every parser of bytes that somebody else writes: a value, "not ours" or its declared error.

What counts as an error is the parser's own (`RequestError`, `SiteFileError` …); any other exception
fails. Values are used as the program uses them: shown, put into JSON, made into names of files.
In here: of processes, and of the one that writes output.
"""

import gzip
import os
import resource
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hostmanager.drivers.process import non_child_exit as strangers
from hostmanager.drivers.process.ownership import env_tag as marks
from hostmanager.drivers.process.ownership import manager_identity as identity
from hostmanager.drivers.process.ownership import rlimit_tag as stamps
from hostmanager.drivers.process.ownership.env_tag import EnvTag
from hostmanager.logd import paths as names
from hostmanager.logd.client import LogDaemonClient
from hostmanager.logd.control_pipe import ControlPipe
from hostmanager.logd.reader import position, position_at, tail
from hostmanager.logd.timestamps import TimestampIndex
from hostmanager.util import procfs as proc
from tests.adversary.bytes_of_others import (
    BYTES,
    NUMBERS,
    TEXTS,
    fresh,
    make_directory,
    shown,
)
from tests.support.seeds import examples

directory = pytest.fixture(make_directory, scope="module")

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
