"""Details of one agent or host: what is known, and below that its output, live."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType

from hostmanager.cli.top.data_source import ReadLines
from hostmanager.cli.top.format import detail_rows
from hostmanager.cli.top.model import ItemKey, ListItem
from hostmanager.cli.top.requests import UserRequest
from hostmanager.cli.top.screens import FullScreenPane
from hostmanager.cli.top.widgets import Bar, LabelledRows, RequestBar, priority_binding
from hostmanager.client.errors import ManagerError
from hostmanager.client.logs.log_filter import LogLine
from hostmanager.client.text import format_time, sanitize, strip_timestamp
from hostmanager.util.text import format_duration

FIRST_LINES = 200
OUTPUT_INTERVAL = 1.0
"""Seconds between two requests for new lines."""

SLOW_AFTER = 3.0
"""Seconds after which a missing answer is shown."""


class Details(FullScreenPane):
    """Details of one item, kept up to date."""

    KEYS = "u up  d down  r restart  h history  f more details  arrows scroll  Esc back"
    BINDINGS: ClassVar[list[BindingType]] = [
        priority_binding("f", "all_details"),
    ]

    def __init__(
        self,
        item: ListItem,
        read: ReadLines | None,
        find: Callable[[ItemKey], ListItem | None],
        requests: Sequence[UserRequest],
    ) -> None:
        """Prepare.

        Args:
            item: What is shown.
            read: Reads its output; None: no manager keeps it.
            find: Gives the present item of a key; None if it is gone.
            requests: All requests, the newest last.
        """
        super().__init__(item.name)
        self._item = item
        self._read = read
        self._find = find
        self._requests = requests
        self._requested_at: float | None = None
        self._error = ""
        self._count = 0
        self._is_complete = False

    @property
    def item(self) -> ListItem:
        """The item that is shown, as it was last."""
        return self._item

    def header(self) -> ComposeResult:
        """The status of the item."""
        yield LabelledRows(id="details")
        yield Bar(id="rule")
        yield RequestBar(id="request")

    def begin(self) -> None:
        """Show what is known, and ask for output again and again."""
        self.refresh_details()
        self.set_interval(1.0, self.refresh_details)
        if self._read is not None:
            self.run_in_thread(self._follow)

    def refresh_details(self) -> None:
        """Show what is known by now."""
        current = self._find(self._item.key)
        gone = current is None
        self._item = current or self._item
        now = time.time()
        self.set_title(
            f"{format_time(now, now)} {self._item.name}{' IS GONE; its last status' if gone else ''}"
        )
        rows = detail_rows(self._item, now)
        room = max(4, self.size.height - 4 if self._is_complete else self.size.height // 2 - 2)
        self.query_one("#details", LabelledRows).show(rows, self.size.width, room)
        self._show_rule()
        self.query_one("#request", RequestBar).show_latest(self._requests)

    def on_resize(self) -> None:
        """Fit the details to the new size."""
        self.refresh_details()

    def _show_rule(self) -> None:
        requested_at = self._requested_at  # another thread's: it may be over the next moment
        if self._item.agent is None:
            text = "Enter on one of its agents shows its output"
        elif self._read is None:
            text = "no manager controls it, so none keeps its output"
        elif requested_at is not None and time.monotonic() - requested_at > SLOW_AFTER:
            text = f"output: no answer for {format_duration(time.monotonic() - requested_at)}"
        elif self._error:
            text = f"output: {self._error}"
        elif not self._count:
            text = "output, live: no lines yet"
        else:
            text = "output, live"
        rule = Text(f"-- {sanitize(text)} ", "bold")
        rule.append("-" * max(0, self.size.width - rule.cell_len))
        self.query_one("#rule", Bar).show(rule)

    # --- output -----------------------------------------------------------------------------

    def _follow(self) -> None:
        """In a thread of its own: read what is new, for as long as the pane is open."""
        assert self._read is not None
        lines = FIRST_LINES
        while not self.closed.is_set():
            self._requested_at = time.monotonic()
            error_text, lines_read = "", list[LogLine]()
            try:
                lines_read = self._read(lines)
                lines = max(lines, FIRST_LINES * 10)
            except ManagerError as error:
                error_text = str(error)
            except Exception as error:  # whatever it is, it is no reason to end the view
                error_text = f"{type(error).__name__}: {error}"
            self._requested_at = None
            self.post_from_thread(partial(self._add, error_text, lines_read))
            self.closed.wait(OUTPUT_INTERVAL)

    def _add(self, error_text: str, lines_read: Sequence[LogLine]) -> None:
        view = self.log_view
        view.auto_scroll = view.is_vertical_scroll_end  # who reads further up is left there
        self._error = error_text
        self._count += len(lines_read)
        now = time.time()
        for line in lines_read:
            text = Text(f"{format_time(line.time, now) or '?'} ", "dim", tab_size=8)
            view.write(text.append(sanitize(strip_timestamp(line.text)), "not dim"))
        self._show_rule()

    def action_all_details(self) -> None:
        """Give the details the room that they need, or half of the screen again."""
        self._is_complete = not self._is_complete
        self.refresh_details()
