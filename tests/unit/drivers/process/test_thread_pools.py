"""Threads that are there before they are needed."""

import threading

import pytest

from hostmanager.drivers.process.thread_pools import prestarted_pool


def test_work_is_done_where_no_thread_can_be_started_any_more(monkeypatch):
    pool = prestarted_pool(4, "early")

    def no_more(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    try:
        assert [pool.submit(int, n).result(10) for n in range(20)] == list(range(20))
    finally:
        pool.shutdown()


def test_where_none_can_be_started_it_is_reported_at_once(monkeypatch):
    def no_more(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    with pytest.raises(RuntimeError, match="thread"):
        prestarted_pool(2, "never")
