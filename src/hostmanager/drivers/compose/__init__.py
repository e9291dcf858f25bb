"""Compose services: what is true of them is asked of the engine, what is done by compose.

Nothing is imported here: a manager without compose files does without the engine's client.
"""
