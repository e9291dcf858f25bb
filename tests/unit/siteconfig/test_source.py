import os
import socket

import pytest

from hostmanager.siteconfig import source as reader
from hostmanager.siteconfig.diagnostics import SiteFileError


def refusal(path) -> str:
    with pytest.raises(SiteFileError) as caught:
        reader.read_text(path)
    return str(caught.value)


def test_a_missing_file_is_refused_with_the_nearest_name(scf, tmp_path):
    scf("hub: {}", "default.yaml")
    text = refusal(tmp_path / "defalut.yaml")
    assert "there is no such file" in text
    assert "Did you mean 'default.yaml'?" in text


def test_a_directory_is_refused(tmp_path):
    assert "this is a directory" in refusal(tmp_path)


def test_a_pipe_that_nobody_writes_to_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "this is a named pipe" in refusal(tmp_path / "pipe")


def test_a_device_is_refused():
    assert "this is a device" in refusal("/dev/zero")


def test_a_socket_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("sock")
        assert "this is a socket" in refusal(tmp_path / "sock")


def test_links_in_a_circle_are_refused(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert "form a circle" in refusal(tmp_path / "a")


def test_a_path_through_a_file_is_refused(scf):
    assert "not a directory" in refusal(scf("x") / "site.yaml")


def test_a_path_with_a_nul_is_refused():
    assert "NUL" in refusal("a\0b")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(scf):
    path = scf("x")
    path.chmod(0)
    assert "permission" in refusal(path)


def test_denied_permission_is_reported_with_the_user_id(scf, monkeypatch):
    def denied(*args):
        raise PermissionError(13, "Permission denied")

    path = scf("x")
    monkeypatch.setattr(reader.os, "open", denied)
    assert "permission to read the file is denied" in refusal(path)


def test_a_huge_file_is_refused_without_being_read(tmp_path):
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    assert "larger than 16 MiB" in refusal(tmp_path / "huge")


@pytest.mark.parametrize("content", [b"", b" \n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(scf, content):
    assert "the file is empty" in refusal(scf(content))


def test_bytes_that_are_not_utf8_are_reported_with_their_place(scf):
    path = scf("a: é\nb: ".encode() + b"\xff\n")
    assert refusal(path).startswith(f"{path}:2:4: byte 0xff is not UTF-8")


def test_a_byte_order_mark_is_no_part_of_the_text(scf):
    assert reader.read_text(scf(b"\xef\xbb\xbfa: 1")) == "a: 1"
