"""Text of a bounded length."""


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
