"""One manager of an id on a host."""

import os
import socket
import subprocess
import sys

import pytest
from tests.support.users import STRANGER, needs_root, other_users

from hostmanager.agent.daemon.single_instance import ManagerRunningError, acquire_manager_lock

HOLDER = """
import sys
from pathlib import Path
from hostmanager.agent.daemon.single_instance import acquire_manager_lock
held = acquire_manager_lock(Path(sys.argv[1]), sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def key(tmp_path):
    return f"test-{os.getpid()}-{tmp_path.name}"


@pytest.fixture
def holder(tmp_path, key):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path), key],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_claim_names_the_first(tmp_path, key, holder):
    with pytest.raises(ManagerRunningError, match=f"pid {holder.pid}"):
        acquire_manager_lock(tmp_path, key)


def test_another_state_directory_makes_no_difference(tmp_path, key, holder):
    (tmp_path / "other").mkdir()
    with pytest.raises(ManagerRunningError, match=f"pid {holder.pid}"):
        acquire_manager_lock(tmp_path / "other", key)


def test_a_claim_ends_with_its_process(tmp_path, key, holder):
    holder.kill()
    holder.wait()
    with acquire_manager_lock(tmp_path, key):
        pass


def test_a_claim_can_be_released(tmp_path, key):
    acquire_manager_lock(tmp_path, key).close()
    acquire_manager_lock(tmp_path, key).close()


def test_other_managers_are_not_in_the_way(tmp_path, key, holder):
    (tmp_path / "other").mkdir()
    acquire_manager_lock(tmp_path / "other", key + "x").close()


def test_the_file_names_the_holder_where_the_name_does_not(tmp_path, key, holder):
    # Another key with the same state directory: the file is held, its own name is not.
    with pytest.raises(ManagerRunningError, match=f"pid {holder.pid} holds"):
        acquire_manager_lock(tmp_path, key + "y")


def test_agents_do_not_inherit_a_claim(tmp_path, key):
    with acquire_manager_lock(tmp_path, key):
        child = subprocess.Popen(["/bin/sleep", "5"], close_fds=False)
    try:
        acquire_manager_lock(tmp_path, key).close()
    finally:
        child.kill()
        child.wait()


def test_names_of_sockets_are_per_user(tmp_path, key):
    with acquire_manager_lock(tmp_path, key), socket.socket(socket.AF_UNIX) as knock:
        knock.connect(f"\0ocs-hostmanager/{os.getuid()}/{key}")


@pytest.mark.parametrize("what", ["directory", "loop", "fifo"])
def test_something_else_in_place_of_the_file_does_not_prevent_the_start(tmp_path, key, what):
    path = tmp_path / "manager.lock"
    if what == "directory":
        path.mkdir()
    elif what == "loop":
        path.symlink_to(path)
    else:
        os.mkfifo(path)
    with acquire_manager_lock(tmp_path, key), pytest.raises(ManagerRunningError):
        acquire_manager_lock(tmp_path, key)


SQUATTER = """
import socket, sys
name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
name.bind(chr(0) + sys.argv[1])
if sys.argv[2] == "listen": name.listen()
print("taken", flush=True)
sys.stdin.read()
"""


@needs_root
@pytest.mark.parametrize("how", ["listen", "only bind"])
def test_there_is_a_warning_when_another_user_has_the_name(tmp_path, key, how, caplog):
    with other_users() as start:
        argv = ["/usr/bin/python3", "-c", SQUATTER, f"ocs-hostmanager/{os.getuid()}/{key}", how]
        squatter = start(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert squatter.stdout.readline() == b"taken\n"
        with acquire_manager_lock(tmp_path, key):
            assert f"ocs-hostmanager/{os.getuid()}/{key}" in caplog.text
            if how == "listen":
                assert f"pid {squatter.pid} of uid {STRANGER}" in caplog.text
            with pytest.raises(ManagerRunningError, match=f"pid {os.getpid()} holds"):
                acquire_manager_lock(tmp_path, key)
        squatter.communicate()


def test_each_of_several_keys_is_claimed(tmp_path, key, holder):
    with pytest.raises(ManagerRunningError, match=f"pid {holder.pid}"):
        acquire_manager_lock(tmp_path / "other", key + "another router", key)
