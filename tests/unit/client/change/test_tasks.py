"""Tasks at some places, carried out at the same time."""

import threading

from hostmanager.client.change.tasks import TasksChange
from hostmanager.client.errors import ClientError, FailureKind, ManagerError
from hostmanager.client.managers.manager_client import OperationResult


def fail(error):
    def task(_show):
        raise error

    return task


def test_each_place_has_its_result_and_a_failure_is_one_of_its_own():
    refused = ManagerError(FailureKind.REFUSED, "it needs credential level 2")
    change = TasksChange(
        {
            ("a", ""): lambda _show: OperationResult(True, "2 images"),
            ("b", ""): lambda _show: OperationResult(False, "no space"),
            ("c", ""): fail(refused),
            ("d", ""): fail(ClientError("no alarm service")),
            ("e", ""): fail(ZeroDivisionError("oh")),
        },
        60,
        going_on="It goes on.",
    )
    seen = []
    change.execute(lambda: seen.append(change.rows()))
    assert {row.host: (row.state, row.text) for row in change.rows()} == {
        "a": ("done", "2 images"),
        "b": ("failed", "no space"),
        "c": ("failed", "it needs credential level 2"),
        "d": ("failed", "no alarm service"),
        "e": ("failed", "ZeroDivisionError: oh"),
    }
    assert len(seen) == 5
    assert change.needs_password == "it needs credential level 2"
    assert change.notices() == []


def test_who_cancels_is_told_what_goes_on_and_the_last_message():
    shown, go_on = threading.Event(), threading.Event()

    def pull(show):
        show("layer 1 of 3")
        shown.set()
        assert go_on.wait(30)
        return OperationResult(True, "")

    change = TasksChange({("a", ""): pull}, 60, going_on="The manager of a goes on pulling.")
    change.execute(change.cancel)  # as soon as the message has come
    go_on.set()
    assert shown.is_set()
    (row,) = change.rows()
    assert (row.state, row.output) == ("left", ("layer 1 of 3",))
    assert "layer 1 of 3" in row.text
    assert change.notices() == ["The manager of a goes on pulling."]
