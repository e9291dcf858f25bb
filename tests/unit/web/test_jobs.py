"""Confirmed changes: carried out in threads, kept for a day, cancelled, refused when too many."""

import threading

import pytest
from tests.support.waiting import wait_for

from hostmanager.client.change.prepared import ProgressRow
from hostmanager.client.change.site_change import PreparedChange
from hostmanager.web import jobs as module
from hostmanager.web.jobs import Jobs, JobState, TooManyJobsError


class Change:
    """A change of one agent that ends when a test says so."""

    needs_password = ""

    def __init__(self, result="done", error=None):
        self.begun, self.go_on = threading.Event(), threading.Event()
        self._result, self._error, self._state = result, error, "pending"

    def execute(self, refresh):
        self.begun.set()
        assert self.go_on.wait(30)
        if self._error:
            raise self._error
        if self._state == "pending":
            self._state = self._result
        refresh()

    def cancel(self):
        self._state = "left"
        self.go_on.set()

    def rows(self):
        return [ProgressRow("daq1", "a", self._state, f"it is {self._state}")]

    def notices(self):
        return []


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def submit(jobs, change):
    prepared = PreparedChange("down", "stop a on daq1", (), hosts=["daq1"], start=lambda: change)
    return jobs.submit(prepared, change, requester="ann", reason="cables", owner="session")


def no_more_threads(_):
    raise RuntimeError("no more threads")


def end_of(job):
    wait_for(lambda: job.ended is not None, 30, "the end of a job")
    return job


@pytest.mark.parametrize(
    ("change", "state", "row"),
    [
        (Change(), JobState.DONE, "done"),
        (Change("failed"), JobState.FAILED, "failed"),
        (Change("left"), JobState.FAILED, "left"),
        (Change(error=RuntimeError("what?")), JobState.FAILED, "pending"),
    ],
)
def test_a_job_runs_and_ends_as_its_change_does(change, state, row):
    ended = []
    jobs = Jobs(ended.append)
    job = submit(jobs, change)
    assert change.begun.wait(30)
    assert job.state is JobState.RUNNING
    assert [row.text for row in job.rows] == ["it is pending"]
    before = job.version
    change.go_on.set()
    end_of(job)
    wait_for(lambda: ended == [job], 30, "the call at the end")
    assert (job.state, job.rows[0].state) == (state, row)
    assert job.version > before
    assert ("RuntimeError: what?" in job.error) is (row == "pending")
    assert jobs.find(job.id) is job
    assert jobs.about("daq1", "a") == (job, job.rows[0])
    assert jobs.about("daq1", "b") is None


def test_a_job_without_a_place_waits_and_sends_nothing_once_it_was_cancelled(monkeypatch):
    monkeypatch.setattr(module, "MAX_RUNNING", 1)
    jobs, first, second = Jobs(), Change(), Change()
    running = submit(jobs, first)
    assert first.begun.wait(30)
    waiting = submit(jobs, second)
    assert waiting.state is JobState.PENDING
    jobs.cancel(waiting)
    assert waiting.state is JobState.CANCELLED  # at once: it waits in no thread
    assert waiting.rows[0].text == "nothing was sent"
    jobs.cancel(running)
    assert end_of(running).state is JobState.CANCELLED
    assert running.rows[0].state == "left"
    assert not second.begun.is_set()


def test_a_job_that_waited_begins_when_one_has_ended(monkeypatch):
    monkeypatch.setattr(module, "MAX_RUNNING", 1)
    jobs, first, second = Jobs(), Change(), Change()
    running, waiting = submit(jobs, first), submit(jobs, second)
    first.go_on.set()
    assert second.begun.wait(30)
    second.go_on.set()
    assert end_of(waiting).state is end_of(running).state is JobState.DONE


def test_a_job_for_which_there_is_no_thread_fails_and_takes_no_place(monkeypatch):
    monkeypatch.setattr(module, "MAX_RUNNING", 1)
    jobs, changes = Jobs(), [Change(), Change(), Change()]
    running = submit(jobs, changes[0])
    assert changes[0].begun.wait(30)
    waiting = submit(jobs, changes[1])
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more_threads)
        changes[0].go_on.set()
        assert end_of(running).state is JobState.DONE
        assert end_of(waiting).state is JobState.FAILED
    assert "no more threads" in waiting.error
    assert not changes[1].begun.is_set()
    submit(jobs, changes[2])
    assert changes[2].begun.wait(30)
    changes[2].go_on.set()


def test_cancelling_what_is_done_changes_nothing():
    jobs, change = Jobs(), Change()
    job = submit(jobs, change)
    change.go_on.set()
    jobs.cancel(end_of(job))
    assert job.state is JobState.DONE


def test_when_the_server_ends_nobody_waits_for_managers_any_more():
    jobs, changes = Jobs(), [Change(), Change()]
    submitted = [submit(jobs, change) for change in changes]
    assert all(change.begun.wait(30) for change in changes)
    jobs.close(30)
    assert [job.state for job in submitted] == [JobState.CANCELLED] * 2


def test_a_job_is_forgotten_a_day_after_its_end():
    clock, change = Clock(), Change()
    jobs = Jobs(clock=clock)
    job = submit(jobs, change)
    clock.now = module.KEPT_FOR * 2
    assert jobs.find(job.id) is job
    change.go_on.set()
    end_of(job)
    clock.now += module.KEPT_FOR + 1
    assert jobs.find(job.id) is None
    assert jobs.about("daq1", "a") is None


def test_the_job_that_ended_first_makes_room_and_one_that_runs_never_does(monkeypatch):
    monkeypatch.setattr(module, "MAX_JOBS", 2)
    jobs, changes = Jobs(), [Change() for _ in range(3)]
    first, second = (submit(jobs, change) for change in changes[:2])
    with pytest.raises(TooManyJobsError):
        submit(jobs, changes[2])
    assert not changes[2].begun.is_set()
    changes[1].go_on.set()
    end_of(second)
    third = submit(jobs, changes[2])
    assert [jobs.find(job.id) for job in (first, second, third)] == [first, None, third]
    for change in changes:
        change.go_on.set()
    end_of(first), end_of(third)


def test_nobody_can_guess_the_address_of_a_job():
    jobs, change = Jobs(), Change()
    change.go_on.set()
    ids = {submit(jobs, change).id for _ in range(20)}
    assert len(ids) == 20
    assert min(map(len, ids)) >= 16
