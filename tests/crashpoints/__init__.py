"""Crash points: the manager is killed before each call that changes something outside of it."""
