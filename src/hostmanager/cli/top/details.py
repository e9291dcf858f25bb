"""Details of one agent or host: what is known, and below that its output, live."""

import time
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Protocol

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType

from hostmanager.cli.top.data_source import ReadLines
from hostmanager.cli.top.format import detail_rows
from hostmanager.cli.top.model import ItemKey, ListItem
from hostmanager.cli.top.screens import FullScreenPane
from hostmanager.cli.top.widgets import Bar, LabelledRows, priority_binding
from hostmanager.client.errors import ManagerError
from hostmanager.client.logs.log_filter import LogLine
from hostmanager.client.text import format_time, sanitize, strip_timestamp
from hostmanager.util.text import format_duration

FIRST_LINES = 200
OUTPUT_INTERVAL = 1.0
"""Seconds between two requests for new lines."""

SLOW_AFTER = 3.0
"""Seconds after which a missing answer is shown."""


class AgentActions(Protocol):
    """What the details need of the main screen."""

    def find(self, key: ItemKey) -> ListItem | None:
        """The present item of this key; None if it is gone."""

    def change(self, command: str, item: ListItem) -> None:
        """Request `up`, `down` or `restart` of it."""

    def change_host(self, item: ListItem) -> None:
        """Ask what to do with all agents of its host."""

    def show_history(self, item: ListItem) -> None:
        """Show what happened to it."""

    def show_last_request(self, bar: Bar) -> None:
        """Show the latest request."""

    def action_requests(self) -> None:
        """Show all requests."""

    def action_help(self) -> None:
        """Show the keys."""


class Details(FullScreenPane):
    """Details of one item, kept up to date."""

    KEYS = "u up  d down  r restart  h history  f more details  arrows scroll  Esc back"
    BINDINGS: ClassVar[list[BindingType]] = [
        priority_binding("u", "change('up')"),
        priority_binding("d", "change('down')"),
        priority_binding("r", "change('restart')"),
        priority_binding("A", "change_host"),
        priority_binding("h", "history"),
        priority_binding("f", "all_details"),
        priority_binding("m", "requests"),
        priority_binding("question_mark", "help"),
    ]

    def __init__(self, item: ListItem, read: ReadLines | None, actions: AgentActions) -> None:
        super().__init__(item.name)
        self._actions = actions
        self._item = item
        self._read = read
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
        yield Bar(id="request")

    def begin(self) -> None:
        """Show what is known, and ask for output again and again."""
        self.refresh_details()
        self.set_interval(1.0, self.refresh_details)
        if self._read is not None:
            self.run_in_thread(self._follow)

    def refresh_details(self) -> None:
        """Show what is known by now."""
        key: ItemKey = self._item.key
        current = self._actions.find(key)
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
        self._actions.show_last_request(self.query_one("#request", Bar))

    def on_resize(self) -> None:
        """Make it fit."""
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

    # --- keys -------------------------------------------------------------------------------

    def action_change(self, command: str) -> None:
        """Request a change of it."""
        self._actions.change(command, self._item)

    def action_change_host(self) -> None:
        """Request a change of its host."""
        self._actions.change_host(self._item)

    def action_history(self) -> None:
        """Show what happened to it."""
        self._actions.show_history(self._item)

    def action_requests(self) -> None:
        """Show what was requested_at for."""
        self._actions.action_requests()

    def action_help(self) -> None:
        """Show the keys."""
        self._actions.action_help()

    def action_all_details(self) -> None:
        """Give the details the room that they need, or half of the screen again."""
        self._is_complete = not self._is_complete
        self.refresh_details()
