"""Values that must not be read in a log: an environment, a password.

A traceback or a message of asyncio shows the arguments of a call by `repr`. So the `repr` of
these shows nothing.
"""


class Environment(dict[str, str]):
    """The environment of a program: a dictionary that does not show its values."""

    def __repr__(self) -> str:
        return f"<environment of {len(self)} variables>"

    __str__ = __repr__


class Secret(str):
    """A text that `repr` does not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret>"
