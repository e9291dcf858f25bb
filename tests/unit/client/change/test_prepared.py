"""When a change that was shown is still the same."""

from hostmanager.client.change.prepared import PreparedChange
from hostmanager.client.change.stops import Stops


def test_two_plans_are_the_same_if_they_stop_the_same():
    def shown(*agents, action="down", watched=()):
        stops = Stops("stop", {"daq1": agents, "daq2": []})
        return PreparedChange(action, "", (), stops, watched=watched).shown

    assert shown("a", "b") == shown("b", "a")
    assert (
        len({shown("a"), shown("a", "b"), shown("a", action="reload"), shown("a", watched=["x"])})
        == 4
    )
