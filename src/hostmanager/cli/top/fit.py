"""Making text fit a box, visibly: whatever is cut ends with an ellipsis. Pure."""

from rich.console import Console
from rich.text import Text

_CONSOLE = Console(width=80, color_system=None)


def fitted(text: Text, width: int, height: int) -> Text:
    """Wrap a text to so many columns, and cut it after so many lines."""
    width = max(1, width)
    if height == 1:
        line = text.copy()
        line.truncate(width, overflow="ellipsis")
        return line
    lines = text.wrap(_CONSOLE, width, overflow="fold")
    shown = list(lines)[:height]
    if len(lines) > height:
        last = shown[-1]
        last.rstrip()
        last.truncate(width - 1)
        last.append("…")
    return Text("\n").join(shown)
