"""Tiny OCS agents that behave and misbehave on purpose: for the tests and the bench."""
