"""Faults at random, from a seed: nothing may be lost, doubled or left behind.

`python -m tests.faults` (or `make faults`) runs ten minutes of them; see `campaign`.
"""
