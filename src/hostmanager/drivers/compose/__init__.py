"""Compose services: the engine says how they are, compose starts them.

Nothing is imported here: a manager without compose files does not load the engine's client.
"""
