"""Whole-screen panes that are left with Esc: details with live output, history, requests, help."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.screen import Screen
from textual.widgets import RichLog, Static

from hostmanager.cli.text import format_time, sanitize
from hostmanager.cli.top.bar import Bar
from hostmanager.cli.top.fit import fitted
from hostmanager.cli.top.keys import priority_binding

KEPT = 5000
"""Lines that a pane keeps."""


LAST_LINES = 5
"""Lines of output that are shown of each death."""


class FullScreenPane(Screen[None]):
    """A title, a text that scrolls, and the keys."""

    KEYS = "Esc back   arrows, PgUp, PgDn scroll"
    BINDINGS: ClassVar[list[BindingType]] = [
        priority_binding("escape,q,left", "back"),
        priority_binding("j", "scroll(1)"),
        priority_binding("k", "scroll(-1)"),
    ]

    class Told(Message):
        """Something that a thread has found out."""

        def __init__(self, take: Callable[[], None]) -> None:
            super().__init__()
            self.take = take

    def __init__(self, title: str) -> None:
        super().__init__()
        self.heading = title
        self.closed = threading.Event()

    def compose(self) -> ComposeResult:
        """Put it together."""
        yield Bar(id="title", classes="bar")
        yield from self.header()
        yield RichLog(id="text", wrap=True, max_lines=KEPT, min_width=20, auto_scroll=True)
        yield Static(Text(self.KEYS, "reverse"), id="keys")

    def header(self) -> ComposeResult:
        """What stands above the text."""
        yield from ()

    @property
    def log_view(self) -> RichLog:
        """The text."""
        return self.query_one("#text", RichLog)

    def on_mount(self) -> None:
        """Begin."""
        self.say(self.heading)
        self.log_view.focus()
        self.begin()

    def begin(self) -> None:
        """Fill it."""

    def on_unmount(self) -> None:
        """Whatever asks for this pane may stop."""
        self.closed.set()

    def say(self, title: str) -> None:
        """Show a title."""
        self.query_one("#title", Bar).show(Text(sanitize(title), "bold"))

    def action_back(self) -> None:
        """Leave it."""
        self.app.pop_screen()

    def action_scroll(self, lines: int) -> None:
        """Scroll by lines, for those whose arrows do not work."""
        self.log_view.scroll_relative(y=lines, animate=False)

    def run_in_thread(self, work: Callable[[], None]) -> None:
        """Do something that may take time. The thread is left behind when the view ends."""
        threading.Thread(target=work, daemon=True).start()

    def post_from_thread(self, take: Callable[[], None]) -> None:
        """From a thread: have this done in the view, if it is still there."""
        if not self.closed.is_set():
            self.post_message(self.Told(take))

    def on_pane_told(self, message: "FullScreenPane.Told") -> None:
        """Do what a thread has asked for."""
        if not self.closed.is_set():
            message.take()


class TextPane(FullScreenPane):
    """A text that is there from the beginning."""

    def __init__(self, title: str, lines: Sequence[Text | str]) -> None:
        super().__init__(title)
        self._lines = lines

    def begin(self) -> None:
        """Fill it."""
        self.log_view.auto_scroll = False
        for line in self._lines:
            self.log_view.write(line if isinstance(line, Text) else Text(line))


class History(FullScreenPane):
    """What happened to an agent, or on a host."""

    def __init__(
        self, title: str, ask: Callable[[], Sequence[Mapping[str, Any]]], *, names: bool
    ) -> None:
        super().__init__(title)
        self._ask, self._names = ask, names

    def begin(self) -> None:
        """Ask for it."""
        self.say(f"{self.heading}: asking ...")
        self.run_in_thread(self._fetch)

    def _fetch(self) -> None:
        try:
            entries = list(self._ask())
        except Exception as error:  # whatever it is: a pane with a sentence, not a dead view
            text = str(error)
            self.post_from_thread(lambda: self._refused(text))
        else:
            self.post_from_thread(lambda: self._fill(entries))

    def _refused(self, text: str) -> None:
        self.say(f"{self.heading}: no answer")
        self.log_view.write(Text(sanitize(f"! {text}"), "red"))

    def _fill(self, entries: Sequence[Mapping[str, Any]]) -> None:
        self.say(f"{self.heading}, the newest last" if entries else f"{self.heading}: nothing yet")
        now = time.time()
        for entry in entries:
            self.log_view.write(self._line(entry, now))

    def _line(self, entry: Mapping[str, Any], now: float) -> Text:
        text = Text(f"{format_time(entry['time'], now)} ", tab_size=8)
        if self._names and entry["instance_id"]:
            text.append(f"{entry['instance_id']} ", "bold")
        text.append(f"{entry['kind']} ", "red" if entry["kind"] == "exit" else "cyan")
        text.append(sanitize(str(entry["text"])))
        lines = (entry.get("data") or {}).get("lines", ()) if entry["kind"] == "output" else ()
        for line in list(lines)[-LAST_LINES:] if not self._names else ():
            text.append(f"\n  | {sanitize(str(line))}", "dim")
        return text


class Facts(VerticalScroll, can_focus=False):
    """Pairs of a word and a text, above the output."""

    def compose(self) -> ComposeResult:
        """Put it together."""
        yield Static(id="facts")

    def show(self, pairs: Sequence[tuple[str, str]], width: int, room: int) -> None:
        """Show as many as there is room for; the last says if there are more."""
        lines: list[Text] = []
        for word, said in pairs:
            indented = fitted(Text(sanitize(said)), width - 11, room)
            for index, part in enumerate(indented.split("\n")):
                head = f"{word if index == 0 else '':10} "
                lines.append(Text(head, "bold cyan" if word != "why" else "bold red").append(part))
        if len(lines) > room:
            hidden = len(lines) - room + 1
            lines = [*lines[: room - 1], Text(f"… {hidden} lines more: press f", "bold")]
        self.query_one("#facts", Static).update(Text("\n").join(lines))
