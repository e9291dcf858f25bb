"""The log daemon: a process that moves what agents print from named pipes into files.

It exists so that agents never wait for the manager, nor notice its death: between an agent
and its file stands this small process, which outlives managers, and whose own death costs
no byte. See docs/output.md for the reasons and for what happens when something fails.

`client` is the manager's side, `reader` reads the files, all else runs in the log daemon,
which imports as little as it can: one of it runs on every host, all the time.
"""

VERSION = "3"
"""Of its behaviour: a manager replaces a running log daemon of another version."""
