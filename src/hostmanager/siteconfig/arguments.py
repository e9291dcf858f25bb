"""The arguments of an agent, as anybody may see them.

A manager shows them to every client of the router, so that a change can be named. A password does
not belong there (docs/security.md); where one is given all the same, it is not shown.
"""

import re
from collections.abc import Sequence

HIDDEN = "***"

MAX_SHOWN_ARGUMENTS = 64
"""Arguments of one agent that a manager shows."""

SECRET_WORDS = "passw|passphrase|secret|token|credential|api.?key|auth"
"""What the name of an option or a key has that sounds like a secret."""

_SECRET_OPTION = re.compile(f"-.*({SECRET_WORDS})", re.IGNORECASE)


def is_secret_option(word: str) -> bool:
    """Whether a word of a command line is an option whose value is not shown."""
    return bool(_SECRET_OPTION.match(word))


def visible_arguments(arguments: Sequence[str]) -> list[str]:
    """Give the arguments without the values of options that sound like a secret."""
    shown: list[str] = []
    hide_next = False
    for word in arguments[:MAX_SHOWN_ARGUMENTS]:
        option, equals, _ = word.partition("=")
        is_secret = is_secret_option(option)
        if hide_next and not word.startswith("--"):
            shown.append(HIDDEN)
        elif is_secret and equals:
            shown.append(f"{option}={HIDDEN}")
        else:
            shown.append(word)
        hide_next = is_secret and not equals
    return shown
