"""From when to when the output of a run is."""

from hostmanager.client.logs.log_runs import LAUNCH_MARGIN, runs


def entry(kind, when, **data):
    return {"kind": kind, "time": when, "data": data}


def test_runs_are_separated_between_an_exit_and_the_next_launch():
    entries = [
        entry("launch", 100.0, launched=True),
        entry("exit", 110.0),
        entry("launch", 114.0, launched=True),
        entry("launch", 120.0, launched=False),  # taken over by another manager: the same run
        entry("exit", 130.0),
        entry("exit", 131.0, launched=False),
        entry("launch", 133.0, launched=True),
    ]
    assert [run.begin for run in runs(entries)] == [100.0 - LAUNCH_MARGIN, 112.0, 132.0]
    assert runs([]) == []
