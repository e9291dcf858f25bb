"""What an agent used, from a manager that answers, or does not."""

import threading

import pytest

from hostmanager.client.errors import ManagerError
from hostmanager.client.history.resource_history import read_resources
from hostmanager.client.managers.manager_client import OperationResult

DATA = {
    **{"interval": 30.0, "columns": ["time", "cpu", "memory"]},
    "samples": {"a": [[1.0, 0.5, -1]]},
}


class Manager:
    """Answers once it may."""

    def __init__(self, data):
        self.data, self.may_answer = data, threading.Event()

    def run(self, operation, _limit, /, **params):
        assert (operation, params) == ("resources", {"instance_id": "a"})
        assert self.may_answer.wait(60)
        return OperationResult(True, "", self.data)


def test_samples_are_read_by_column_and_what_is_not_known_is_nothing():
    manager = Manager(DATA)
    manager.may_answer.set()
    history = read_resources(manager, "a", 60.0)
    assert history.interval == 30.0
    assert history.columns == {"cpu": ((1.0, 0.5),), "memory": ((1.0, None),)}


def test_nobody_waits_for_ever_for_a_manager_that_hangs():
    manager = Manager(DATA)
    with pytest.raises(ManagerError, match="no answer within"):
        read_resources(manager, "a", 0.05)
    manager.may_answer.set()


def test_data_that_makes_no_sense_is_said():
    manager = Manager({"columns": []})
    manager.may_answer.set()
    with pytest.raises(ManagerError, match="invalid data"):
        read_resources(manager, "a", 60.0)
