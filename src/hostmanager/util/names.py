"""Instance ids: which there can be, and how they stand in names of files.

OCS itself says nothing of what an id may be. `id_problem` says what plain OCS cannot run, as
it was tried with ocs 0.12 and crossbar 26.10: the router takes no address with white space or
`#` in it, nor with an empty part between two dots, and `ocs-agent-cli` takes what begins with
`-` for an option. What cannot be printed could run, but nobody could see what it is.

In names of files, and where ids stand between blanks or slashes, all bytes of an id but
ASCII letters, digits, `.`, `_` and `-` are written as `%` and two hexadecimal digits.
"""

MAX_ID_CHARS = 200
"""Characters of an id as it is written in names of files, which have 255 at most."""

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def encode_id(instance_id: str) -> str:
    """Write an id as part of a file name; most are written as they are."""
    data = instance_id.encode("utf-8", "surrogatepass")
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in data)


def decode_id(name: str) -> str | None:
    """Read what `encode` wrote; None if it did not write that, or wrote no usable id."""
    if len(name) > MAX_ID_CHARS or not name.isascii():
        return None
    first, *parts = name.split("%")
    try:
        data = first.encode() + b"".join(
            bytes([int(part[:2], 16)]) + part[2:].encode() for part in parts
        )
        instance_id = data.decode("utf-8")
    except ValueError:
        return None
    return instance_id if is_usable_id(instance_id) and encode_id(instance_id) == name else None


def is_usable_id(instance_id: str) -> bool:
    """Whether there can be files, marks and messages of an instance of this id."""
    if not instance_id or len(instance_id) > MAX_ID_CHARS or not instance_id.isprintable():
        return False
    return " " not in instance_id and len(encode_id(instance_id)) <= MAX_ID_CHARS


def id_problem(instance_id: str) -> tuple[str, str] | None:
    """Tell why OCS cannot run an agent of this id; None if it can.

    Returns:
        What is wrong (to follow the id), and what would be right.
    """
    odd = [mark for mark in instance_id if mark.isspace() or mark == "#"]
    if odd:
        marks = ", ".join(dict.fromkeys(map(repr, odd)))
        return f"has {marks} in it", "No address at the router has white space or '#' in it."
    if instance_id.startswith("-"):
        why = "begins with '-', which ocs-agent-cli takes for an option"
        return why, "Let it begin with something else."
    if "" in instance_id.split("."):
        why = "has an empty part before, after or between dots"
        return why, "An address at the router has none: write something on both sides of each '.'."
    if not is_usable_id(instance_id):
        length = len(encode_id(instance_id))
        return (
            f"takes {length} characters in names of files",
            f"Use at most {MAX_ID_CHARS}; letters beyond a to z take 6 or more.",
        )
    return None
