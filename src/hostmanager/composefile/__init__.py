"""Compose files and the compose command: what services there are, and how to act on them.

What a compose file means is asked of the compose command, never guessed: it knows anchors,
`extends`, `include`, `.env`, profiles and all that is to come. What is true of containers is
not asked here but of the engine, in `hostmanager.drivers.compose`.
"""
