"""Entries in the form of journald's native protocol."""

import logging
import os
from struct import unpack

from hostmanager.agent.daemon.journald import (
    current_fields,
    encode_entry,
    leads_to_journald,
    log_fields,
)


def parse(data: bytes) -> dict[str, str]:
    """Read an entry as journald does."""
    fields = {}
    while data:
        head, _, data = data.partition(b"\n")
        name, equals, value = head.partition(b"=")
        if not equals:
            (length,) = unpack("<Q", data[:8])
            value, data = data[8 : 8 + length], data[9 + length :]
        fields[name.decode()] = value.decode()
    return fields


def test_an_entry_has_its_fields_whatever_is_in_them():
    fields = {"instance": "a=b", "event": "exit"}
    entry = parse(encode_entry("one\ntwo\n\nMESSAGE=x", logging.ERROR, "hostmanager-hm", fields))
    assert entry == {
        "MESSAGE": "one\ntwo\n\nMESSAGE=x",
        "PRIORITY": "3",
        "SYSLOG_IDENTIFIER": "hostmanager-hm",
        "HOSTMANAGER_INSTANCE": "a=b",
        "HOSTMANAGER_EVENT": "exit",
    }


def test_what_is_no_unicode_is_still_sent():
    assert parse(encode_entry("\udcff", logging.INFO, "x", {}))["MESSAGE"] == "\\udcff"


def test_a_warning_for_operators_is_one_for_journald():
    assert parse(encode_entry("x", logging.INFO, "x", {}))["PRIORITY"] == "6"
    entry = parse(encode_entry("x", logging.INFO, "x", {"priority": "4"}))
    assert entry["PRIORITY"] == "4"
    assert not any("HOSTMANAGER" in name for name in entry)
    assert parse(encode_entry("x", logging.CRITICAL, "x", {}))["PRIORITY"] == "2"


def test_fields_hold_for_what_is_logged_meanwhile():
    with log_fields(instance="a", pid=None), log_fields(event="exit"):
        assert current_fields() == {"instance": "a", "event": "exit"}
    assert current_fields() == {}


def test_only_the_descriptor_that_systemd_names_leads_to_journald(tmp_path):
    fd = os.open(tmp_path / "file", os.O_CREAT | os.O_WRONLY)
    status = os.fstat(fd)
    assert leads_to_journald(fd, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
    assert not leads_to_journald(fd, {"JOURNAL_STREAM": "1:2"})
    assert not leads_to_journald(fd, {})
    os.close(fd)
    assert not leads_to_journald(fd, {"JOURNAL_STREAM": "1:2"})
