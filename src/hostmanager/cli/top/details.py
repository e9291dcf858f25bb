"""Details of one agent or host: what is known, and below that what it prints, as it prints it."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType

from hostmanager.cli.text import format_time, sanitize, strip_timestamp
from hostmanager.cli.top.bar import Bar
from hostmanager.cli.top.data_source import ReadLines
from hostmanager.cli.top.details_format import detail_rows
from hostmanager.cli.top.keys import priority_binding
from hostmanager.cli.top.model import ItemKey, ListItem
from hostmanager.cli.top.screens import Facts, FullScreenPane, TextPane
from hostmanager.client.log_reader import LogLine
from hostmanager.client.manager_client import ManagerError
from hostmanager.util.text import format_duration

if TYPE_CHECKING:
    from hostmanager.cli.top.app import TopApp

FIRST_LINES = 200
PAUSE = 1.0
"""Seconds between two questions for new lines."""

SLOW = 3.0
"""Seconds after which it is said that new lines are waited for."""


class Details(FullScreenPane):
    """Details of one item, kept up to date."""

    KEYS = "u up  d down  r restart  h history  f all facts  arrows scroll  Esc back"
    BINDINGS: ClassVar[list[BindingType]] = [
        priority_binding("u", "change('up')"),
        priority_binding("d", "change('down')"),
        priority_binding("r", "change('restart')"),
        priority_binding("A", "whole_host"),
        priority_binding("h", "history"),
        priority_binding("f", "facts"),
        priority_binding("m", "requests"),
        priority_binding("question_mark", "help"),
    ]

    def __init__(self, item: ListItem, read: ReadLines | None) -> None:
        super().__init__(item.name)
        self._item = item
        self._read = read
        self._asked: float | None = None
        self._trouble = ""
        self._count = 0

    @property
    def item(self) -> ListItem:
        """What it is about, as it was seen last."""
        return self._item

    def above(self) -> ComposeResult:
        """What is known."""
        yield Facts(id="above")
        yield Bar(id="rule")
        yield Bar(id="news")

    def begin(self) -> None:
        """Show what is known, and ask for output again and again."""
        self.refresh_facts()
        self.set_interval(1.0, self.refresh_facts)
        if self._read is not None:
            self.run_in_thread(self._follow)

    @property
    def _top(self) -> "TopApp":
        return cast("TopApp", self.app)

    def refresh_facts(self) -> None:
        """Show what is known by now."""
        key: ItemKey = self._item.key
        found = self._top.find(key)
        gone = found is None
        self._item = found or self._item
        now = time.time()
        self.say(
            f"{format_time(now, now)} {self._item.name}{' IS GONE; as it was last' if gone else ''}"
        )
        pairs = detail_rows(self._item, now)
        room = max(4, self.size.height // 2 - 2)
        self.query_one("#above", Facts).show(pairs, self.size.width, room)
        self._show_rule()
        self._top.show_last_request(self.query_one("#news", Bar))

    def on_resize(self) -> None:
        """Make it fit."""
        self.refresh_facts()

    def _show_rule(self) -> None:
        asked = self._asked  # another thread's: it may be over the next moment
        if self._item.row is None:
            words = "Enter on one of its agents shows what that prints"
        elif self._read is None:
            words = "nobody manages it, so nobody keeps its output"
        elif asked is not None and time.monotonic() - asked > SLOW:
            words = f"output: no answer for {format_duration(time.monotonic() - asked)}"
        elif self._trouble:
            words = f"output: {self._trouble}"
        elif not self._count:
            words = "output, live: no lines yet"
        else:
            words = "output, live"
        text = Text(f"-- {sanitize(words)} ", "bold")
        text.append("-" * max(0, self.size.width - text.cell_len))
        self.query_one("#rule", Bar).show(text)

    # --- output -----------------------------------------------------------------------------

    def _follow(self) -> None:
        """In a thread of its own: read what is new, for as long as the pane is open."""
        assert self._read is not None
        lines = FIRST_LINES
        while not self.closed.is_set():
            self._asked = time.monotonic()
            trouble, found = "", list[LogLine]()
            try:
                found = self._read(lines)
                lines = max(lines, FIRST_LINES * 10)
            except ManagerError as error:
                trouble = str(error)
            except Exception as error:  # whatever it is, it is no reason to end the view
                trouble = f"{type(error).__name__}: {error}"
            self._asked = None
            self._hand_over(trouble, found)
            self.closed.wait(PAUSE)

    def _hand_over(self, trouble: str, found: Sequence[LogLine]) -> None:
        self.post_from_thread(lambda: self._add(trouble, found))

    def _add(self, trouble: str, found: Sequence[LogLine]) -> None:
        view = self.log_view
        view.auto_scroll = view.is_vertical_scroll_end  # who reads further up is left there
        self._trouble = trouble
        self._count += len(found)
        now = time.time()
        for line in found:
            text = Text(f"{format_time(line.time, now) or '?'} ", "dim", tab_size=8)
            view.write(text.append(sanitize(strip_timestamp(line.text)), "not dim"))
        self._show_rule()

    # --- keys -------------------------------------------------------------------------------

    def action_change(self, command: str) -> None:
        """Tell it something."""
        self._top.change(command, self._item)

    def action_whole_host(self) -> None:
        """Tell its host something."""
        self._top.whole_host(self._item)

    def action_history(self) -> None:
        """Show what happened to it."""
        self._top.show_history(self._item)

    def action_requests(self) -> None:
        """Show what was asked for."""
        self._top.action_requests()

    def action_help(self) -> None:
        """Show the keys."""
        self._top.action_help()

    def action_facts(self) -> None:
        """Show all that is known on the whole screen."""
        now = time.time()
        pairs = detail_rows(self._item, now)
        lines = [
            Text(f"{word:10} ", "bold").append(sanitize(text), "not bold") for word, text in pairs
        ]
        self.app.push_screen(TextPane(f"{self._item.name}, all that is known", lines))
