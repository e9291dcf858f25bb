"""Compose files and the compose command: which services there are, and how to run commands.

The compose command says what a compose file means; nothing is guessed: it knows anchors,
`extends`, `include`, `.env`, profiles and whatever comes later. The state of containers comes
from the engine, in `hostmanager.drivers.compose`.
"""
