"""A few lines of text that are cut visibly, and drawn only when they have changed."""

from rich.text import Text
from textual.widgets import Static

from hostmanager.cli.top.fit import fitted


class Bar(Static):
    """Lines of fixed or automatic height; a layout is only made if the height changes."""

    _shown: Text | None = None

    def show(self, text: Text, lines: int = 1) -> None:
        """Show this in at most so many lines."""
        shown = fitted(text, self.app.size.width, lines)
        before = self._shown
        if before is not None and before.markup == shown.markup:
            return
        same = before is not None and before.plain.count("\n") == shown.plain.count("\n")
        self._shown = shown
        self.update(shown, layout=not same)
