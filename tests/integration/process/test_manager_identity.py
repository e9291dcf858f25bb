"""Who we are: kept in a file, found again by those who carry it, and bound to the mark."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostmanager.core.model import InstanceSpec
from hostmanager.drivers.process.ownership import env_tag as marks
from hostmanager.drivers.process.ownership.manager_identity import ManagerIdentity, load_identity

ONE, TWO = "1" * 32, "2" * 32
SPEC = InstanceSpec("a", "Any", fingerprint="abc")

Carry = Callable[[dict[str, str]], int]


@pytest.fixture
def carry() -> Iterator[Carry]:
    """Start a sleeper with these variables; its pid."""
    started = []

    def go(variables: dict[str, str]) -> int:
        started.append(subprocess.Popen(["/bin/sleep", "1000"], env={"A": "1", **variables}))
        environ = Path(f"/proc/{started[-1].pid}/environ")
        while not environ.read_bytes():  # empty for an instant in the middle of an exec
            pass
        return started[-1].pid

    yield go
    for process in started:
        process.kill()
        process.wait()


def test_it_is_made_once(tmp_path):
    first = load_identity(tmp_path / "identity", "key", "site")
    assert len(first.values) == 1
    assert (
        load_identity(tmp_path / "identity", "another key", "another site").values == first.values
    )
    assert load_identity(tmp_path / "other", "k", "s").values != first.values


@pytest.mark.parametrize("broken", [b"", b"\xff\n", b"x" * 5000, b"123\n", b"\0" * 32])
def test_what_is_no_identity_is_replaced(tmp_path, broken):
    path = tmp_path / "identity"
    path.write_bytes(broken)
    made = load_identity(path, "key", "site")
    assert load_identity(path, "key", "site") == made


def test_where_it_cannot_be_kept_there_is_one_all_the_same(tmp_path, caplog):
    (tmp_path / "identity").mkdir()
    (tmp_path / "identity" / "x").touch()
    assert marks.is_identity(load_identity(tmp_path / "identity", "key", "site").values[0])
    assert "cannot be written" in caplog.text


@pytest.mark.parametrize(("key", "site"), [("key", "-"), ("-", "site")])
def test_who_carries_it_gives_it_back(tmp_path, carry, key, site):
    """By what its manager was called, or by its key: the site config may have moved, too."""
    carry(ManagerIdentity(key, (ONE,), site).make_tag(SPEC).variables)
    carry(ManagerIdentity("else", (TWO,), "elsewhere").make_tag(SPEC).variables)
    identity = load_identity(tmp_path / "identity", "key", "site")
    assert identity.values == (ONE,)
    assert load_identity(tmp_path / "identity", "x", "y").values == (ONE,)


def test_what_is_carried_is_read(carry):
    mark = ManagerIdentity("key", (ONE, TWO), "site").make_tag(SPEC)
    assert (mark.identity, mark.site) == (ONE, "site")
    assert marks.read_tag(carry(mark.variables)) == mark


def test_whose_it_is():
    ours = ManagerIdentity("key", (ONE, TWO), "site")
    assert ours.owns(ours.make_tag(SPEC))
    assert ours.owns(ManagerIdentity("another router", (TWO,), "moved").make_tag(SPEC))
    assert not ours.owns(ManagerIdentity("key", ("3" * 32,), "site").make_tag(SPEC))
    old = marks.EnvTag("key", "a", "abc", 1, "Any")
    assert ours.owns(old)
    assert not ManagerIdentity("another router", (ONE,), "site").owns(old)


def test_an_identity_that_was_inherited_from_another_manager_counts_for_nothing(carry):
    """One of the version before, launched by one of ours: its agents carry both variables."""
    outer = ManagerIdentity("outer", (ONE,), "site").make_tag(SPEC)
    inner = marks.EnvTag("inner", "b", "abc", 1, "Any")
    read = marks.read_tag(carry({**outer.variables, **inner.variables}))
    assert read == inner
    assert read is not None
    assert not read.identity


@pytest.mark.parametrize(
    "message", ["", "x", "/", "//", f"{ONE}/site", f"{ONE}/site/00000000", "²"]
)
def test_what_makes_no_sense_is_no_identity(carry, message):
    mark = ManagerIdentity("key", (ONE,), "site").make_tag(SPEC)
    read = marks.read_tag(carry({**mark.variables, marks.IDENTITY_ENV_VAR: message}))
    assert read is not None
    assert (read.key, read.identity) == ("key", "")
