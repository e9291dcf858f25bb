"""Instance ids: which are valid, and how they are written in names of files.

OCS itself does not say what an id may be. `id_problem` reports what plain OCS cannot run, as
it was tried with ocs 0.12 and crossbar 26.10: the router accepts no address with white space or
`#` in it, nor with an empty part between two dots, and `ocs-agent-cli` takes an id that begins
with `-` for an option. An id that cannot be printed could run, but nobody could read it.

In names of files, and where ids stand between blanks or slashes, all bytes of an id except
ASCII letters, digits, `.`, `_` and `-` are written as `%` and two hexadecimal digits.
"""

MAX_ID_CHARS = 200
"""Characters of an id as it is written in names of files, which have 255 at most."""

_PLAIN = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"


def encode_id(instance_id: str) -> str:
    """Write an id as part of a file name; most ids stay as they are."""
    data = instance_id.encode("utf-8", "surrogatepass")
    if not data.translate(None, _PLAIN):
        return instance_id
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in data)


def decode_id(name: str) -> str | None:
    """Read what `encode_id` wrote; None for anything else, and for an unusable id."""
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
    """Whether files, tags and messages can carry this id."""
    if not instance_id or len(instance_id) > MAX_ID_CHARS or not instance_id.isprintable():
        return False
    return " " not in instance_id and len(encode_id(instance_id)) <= MAX_ID_CHARS


def id_problem(instance_id: str) -> tuple[str, str] | None:
    """Explain why OCS cannot run an agent of this id; None if it can.

    Returns:
        What is wrong (a phrase that follows the id), and a hint.
    """
    invalid = [char for char in instance_id if char.isspace() or char == "#"]
    if invalid:
        chars = ", ".join(dict.fromkeys(map(repr, invalid)))
        return f"has {chars} in it", "No address at the router has white space or '#' in it."
    if instance_id.startswith("-"):
        problem = "begins with '-', which ocs-agent-cli takes for an option"
        return problem, "Begin it with another character."
    if "" in instance_id.split("."):
        problem = "has an empty part before, after or between dots"
        return problem, "Write something on both sides of each '.'."
    if not is_usable_id(instance_id):
        return (
            f"takes {len(encode_id(instance_id))} characters in names of files",
            f"Use at most {MAX_ID_CHARS}; letters beyond a to z take 6 or more.",
        )
    return None
