"""The widgets of `top`: the list of agents, lines of text, labelled rows; and its key bindings."""

import time
from collections.abc import Sequence
from typing import ClassVar

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Static

from hostmanager.cli.top.format import ColumnWidths, heading, row_text
from hostmanager.cli.top.model import ItemKey, ListItem, SortOrder
from hostmanager.cli.top.requests import UserRequest
from hostmanager.client.text import sanitize


def priority_binding(keys: str, action: str) -> Binding:
    """Bind keys, separated by commas, to an action, with priority.

    Textual hands a key to the widget with the focus, and runs its binding some time later; for
    somebody who types fast over a slow line, it would concern another agent than the one that
    they see selected. Bindings with priority run before the next key is read.
    """
    return Binding(keys, action, show=False, priority=True)


_CONSOLE = Console(width=80, color_system=None)


def fit_text(text: Text, width: int, height: int) -> Text:
    """Wrap a text to `width` columns and cut it after `height` lines; an ellipsis marks the cut."""
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


class Bar(Static):
    """A few lines of text, drawn only when they change; laid out only if their number changes."""

    _shown: Text | None = None

    def show(self, text: Text, lines: int = 1) -> None:
        """Show a text in at most `lines` lines."""
        shown = fit_text(text, self.app.size.width, lines)
        before = self._shown
        if before is not None and before.markup == shown.markup:
            return
        same = before is not None and before.plain.count("\n") == shown.plain.count("\n")
        self._shown = shown
        self.update(shown, layout=not same)


class RequestBar(Bar):
    """The latest request and its outcome; nothing, if there was none."""

    def show_latest(self, requests: Sequence[UserRequest]) -> None:
        """Show the last of these."""
        self.display = bool(requests)
        if requests:
            style = "bold red" if requests[-1].has_failed else ""
            self.show(Text(sanitize(requests[-1].text()), style), 2)


class LabelledRows(VerticalScroll, can_focus=False):
    """Rows of a label and a text."""

    def compose(self) -> ComposeResult:
        """Make its widgets."""
        yield Static(id="rows")

    def show(self, rows: Sequence[tuple[str, str]], width: int, room: int) -> None:
        """Show as many lines as there is room for; the last one counts those that are missing."""
        lines: list[Text] = []
        for label, value in rows:
            indented = fit_text(Text(sanitize(value)), width - 11, room)
            for index, part in enumerate(indented.split("\n")):
                head = f"{label if index == 0 else '':10} "
                lines.append(
                    Text(head, "bold cyan" if label != "reason" else "bold red").append(part)
                )
        if len(lines) > room:
            hidden = len(lines) - room + 1
            lines = [*lines[: room - 1], Text(f"… {hidden} more lines: press f", "bold")]
        self.query_one("#rows", Static).update(Text("\n").join(lines))


SELECTED = Style(reverse=True, bold=True)


class AgentList(ScrollView, can_focus=True):
    """Hosts and agents, one of them selected.

    Draws only the lines on the screen, and of those what changed. Textual's own table keeps and
    measures every cell; a site of some hundred agents, each with an uptime that grows, would keep
    a processor busy, and an ssh line too.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        priority_binding("up,k", "move(-1)"),
        priority_binding("down,j", "move(1)"),
        priority_binding("pageup,ctrl+b", "page(-1)"),
        priority_binding("pagedown,ctrl+f,space", "page(1)"),
        priority_binding("home,g", "move(-1000000)"),
        priority_binding("end,G", "move(1000000)"),
    ]

    class Selected(Message):
        """Another item is selected, or what is known of it has changed."""

    def __init__(self, name: str) -> None:
        super().__init__(id=name)
        self.items: Sequence[ListItem] = ()
        self.index = 0
        self._now = 0.0
        self._order = SortOrder.WORST
        self._widths = ColumnWidths.fitted((), 0)
        self._drawn: dict[int, str] = {}
        self._is_moved = False

    @property
    def selected(self) -> ListItem | None:
        """The item that keys are about."""
        return self.items[self.index] if self.items else None

    def pin_selection(self) -> ListItem | None:
        """Return the selected item and keep it selected, since the user does something with it."""
        self._is_moved = True
        return self.selected

    @property
    def heading(self) -> Text:
        """The names of the columns, as wide as they are."""
        return heading(self._widths)

    def show(self, items: Sequence[ListItem], order: SortOrder, *, from_top: bool = False) -> None:
        """Show these; the selection stays with the selected item, or with its position.

        Until a key was pressed, the first line is selected, whatever it is.

        Args:
            items: In their order.
            order: That order.
            from_top: Whether to begin at the top.
        """
        key = self.selected.key if self.selected is not None and self._is_moved else None
        if from_top:
            key, self._is_moved = None, False
        self.items, self._order = items, order
        self._now = time.time()
        self._restore_selection(key, from_top=from_top)
        self._fit()

    def _restore_selection(self, key: ItemKey | None, *, from_top: bool) -> None:
        keys = [item.key for item in self.items]
        if key in keys:
            self.index = keys.index(key)
        else:
            position = self.index if self._is_moved and not from_top else 0
            self.index = max(0, min(position, len(keys) - 1))

    def _fit(self) -> None:
        width = self.scrollable_content_region.width
        widths = ColumnWidths.fitted(self.items, width, self._order)
        size = Size(width, len(self.items))
        if widths != self._widths or size != self.virtual_size:
            self._widths, self.virtual_size = widths, size
            self._drawn.clear()
            self.refresh()
        else:
            self._refresh_changed()
        self._keep_visible()

    def _refresh_changed(self) -> None:
        top = self.scroll_offset.y
        for index in range(top, min(top + self.size.height, len(self.items))):
            if self._drawn.get(index) != self._signature(index):
                self.refresh_line(index)

    def _signature(self, index: int) -> str:
        item = self.items[index]
        text = row_text(item, self._widths, self._now)
        return f"{index == self.index}{item.severity}{text.plain}"

    def _keep_visible(self) -> None:
        top, height = self.scroll_offset.y, self.scrollable_content_region.height
        if self.index < top:
            self.scroll_to(y=self.index, animate=False, immediate=True)
        elif self.index >= top + height > 0:
            self.scroll_to(y=self.index - height + 1, animate=False, immediate=True)

    def on_resize(self, _: events.Resize) -> None:
        """Columns follow the width."""
        self._fit()

    def render_line(self, y: int) -> Strip:
        """Draw one line of the screen."""
        width = self.scrollable_content_region.width
        index = y + self.scroll_offset.y
        if index >= len(self.items):
            return Strip.blank(width)
        self._drawn[index] = self._signature(index)
        text = row_text(self.items[index], self._widths, self._now)
        segments = list(text.render(self.app.console, end=""))
        if index == self.index:
            plain = f">{text.plain[:1].strip() or ' '}{text.plain[2:]}"
            segments = [Segment(plain, SELECTED)]
        return Strip(segments).adjust_cell_length(width)

    def action_move(self, by: int) -> None:
        """Select another."""
        self._is_moved = True
        before, self.index = self.index, max(0, min(self.index + by, len(self.items) - 1))
        self._keep_visible()
        if self.items:
            self.refresh_line(before)
            self.refresh_line(self.index)
        self.post_message(self.Selected())

    def action_page(self, pages: int) -> None:
        """Select the one a page away."""
        self.action_move(pages * max(1, self.scrollable_content_region.height - 1))
