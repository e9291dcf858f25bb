"""How a subcommand ends: the exit statuses, and the one exception that carries them."""

OK = 0
"""Everything is as requested."""

FAILED = 1
"""Something is not as requested; the message says what."""

USAGE = 2
"""The command line or the site config makes no sense; nothing was done."""

UNREACHABLE = 3
"""The router, or the manager of a host in question, does not answer."""

INTERRUPTED = 130
"""Ctrl-C."""


class CommandError(Exception):
    """The subcommand cannot go on. Its text is for people, and says what to do."""

    def __init__(self, text: str, code: int = USAGE) -> None:
        super().__init__(text)
        self.code = code
