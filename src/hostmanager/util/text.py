"""Text of a bounded length, and of several sentences on one line."""

from collections.abc import Iterable


def joined(sentences: Iterable[str]) -> str:
    """Put sentences on one line, with ``; `` between them; only the last keeps its full stop."""
    *before, last = [sentence for sentence in sentences if sentence] or [""]
    return "; ".join([*(sentence.rstrip(".") for sentence in before), last])


def cut_end(text: str, limit: int) -> str:
    """Shorten a text to so many characters; what was cut is told by their number."""
    if len(text) <= limit:
        return text
    told = f" … ({len(text)} characters)"
    return text[: max(0, limit - len(told))] + told


def cut_middle(text: str, limit: int) -> str:
    """Shorten a text to so many characters: its beginning and its end are what counts."""
    if len(text) <= limit:
        return text
    half = limit // 2 - 20
    return f"{text[:half]} … {len(text) - 2 * half} characters … {text[-half:]}"


def sentence(text: str) -> str:
    """End a text as a sentence ends."""
    return text if text.endswith((".", "?", "!")) else f"{text}."
