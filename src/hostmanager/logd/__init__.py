"""The scribe: a process that takes what agents print from named pipes to files.

It exists so that agents never wait for the manager, nor notice its death: between an agent
and its file stands this small process, which outlives managers, and whose own death costs
no byte. See docs/output.md for the reasons and for what happens when something fails.

`client` is what a manager uses, `reading` reads the files, all else runs in the scribe,
which imports as little as it can: one of it runs on every host, all the time.
"""

VERSION = "2"
"""Of the scribe's behaviour: a manager replaces a running scribe of another version."""
