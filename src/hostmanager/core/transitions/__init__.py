"""What follows from an event: what is known then, and what is to be done.

`record_update` records the event. A transition is a pure function of that record, and of what else
the step may use: in `stopped`, `running` and `stopping`. `table` says which event leads to which of
them, and why.
"""
