"""The arguments of an agent, as anybody may see them.

A manager shows them to every client of the router, so that a change can be named. A password does
not belong there (docs/security.md); where one is given all the same, it is not shown.
"""

import re
from collections.abc import Sequence

HIDDEN = "***"

MAX_SHOWN_ARGUMENTS = 64
"""Arguments of one agent that a manager shows."""

_SECRET_OPTION = re.compile(r"-.*(passw|passphrase|secret|token|credential|api.?key|auth)", re.I)


def visible_arguments(arguments: Sequence[str]) -> list[str]:
    """Give the arguments without the values of options that sound like a secret."""
    shown: list[str] = []
    hide_next = False
    for word in arguments[:MAX_SHOWN_ARGUMENTS]:
        option, equals, _ = word.partition("=")
        is_secret = bool(_SECRET_OPTION.match(option))
        if hide_next and not word.startswith("--"):
            shown.append(HIDDEN)
        elif is_secret and equals:
            shown.append(f"{option}={HIDDEN}")
        else:
            shown.append(word)
        hide_next = is_secret and not equals
    return shown
