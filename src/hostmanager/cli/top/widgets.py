"""The list: a widget that draws only the lines that are on the screen, and of those what changed.

Textual's own table keeps and measures every cell; a site of some hundred agents, each with an
uptime that grows, would keep a processor busy, and an ssh line too.
"""

import time
from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from hostmanager.cli.top.keys import priority_binding
from hostmanager.cli.top.model import ItemKey, ListItem
from hostmanager.cli.top.row_format import Widths, heading, row_text

SELECTED = Style(reverse=True, bold=True)


class AgentList(ScrollView, can_focus=True):
    """Hosts and agents, one of them selected."""

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
        self._widths = Widths(0, 0, 0, 0, 0)
        self._drawn: dict[int, str] = {}
        self._is_moved = False

    @property
    def selected(self) -> ListItem | None:
        """The item that keys are about."""
        return self.items[self.index] if self.items else None

    def pin_selection(self) -> ListItem | None:
        """The selected item, by somebody who does something with it: it stays selected."""
        self._is_moved = True
        return self.selected

    @property
    def heading(self) -> Text:
        """The names of the columns, as wide as they are."""
        return heading(self._widths)

    def show(self, items: Sequence[ListItem], *, afresh: bool = False) -> None:
        """Show these; the selection stays with what was selected, or with its place.

        Nobody has chosen the first line: until a key was pressed, it is the worst that is selected.

        Args:
            items: In their order.
            afresh: Whether to begin at the top.
        """
        key = self.selected.key if self.selected is not None and self._is_moved else None
        if afresh:
            key, self._is_moved = None, False
        self.items = items
        self._now = time.time()
        self._place(key, afresh=afresh)
        self._fit()

    def _place(self, key: ItemKey | None, *, afresh: bool) -> None:
        keys = [item.key for item in self.items]
        if key in keys:
            self.index = keys.index(key)
        else:
            kept = self.index if self._is_moved and not afresh else 0
            self.index = max(0, min(kept, len(keys) - 1))

    def _fit(self) -> None:
        width = self.scrollable_content_region.width
        widths = Widths.fitted(self.items, width)
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
