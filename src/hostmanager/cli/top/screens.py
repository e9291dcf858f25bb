"""The screens of `top` but the main one: panes that Esc closes, and the dialogs."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen, Screen
from textual.widgets import RichLog, Static

from hostmanager.cli.top.widgets import Bar, priority_binding
from hostmanager.client.status.model import MAX_LAST_LINES
from hostmanager.client.text import format_time, sanitize

MAX_PANE_LINES = 5000
"""Lines that a pane keeps."""


class FullScreenPane(Screen[None]):
    """A title, a text that scrolls, and the keys."""

    KEYS = "Esc back   arrows, PgUp, PgDn scroll"
    BINDINGS: ClassVar[list[BindingType]] = [
        priority_binding("escape,q,left", "back"),
        priority_binding("j", "scroll(1)"),
        priority_binding("k", "scroll(-1)"),
    ]

    class ThreadResult(Message):
        """The result of a thread, and how to show it."""

        def __init__(self, show: Callable[[], None]) -> None:
            super().__init__()
            self.show = show

    def __init__(self, title: str) -> None:
        super().__init__()
        self.heading = title
        self.closed = threading.Event()

    def compose(self) -> ComposeResult:
        """Make its widgets."""
        yield Bar(id="title", classes="bar")
        yield from self.header()
        yield RichLog(
            id="text", wrap=True, max_lines=MAX_PANE_LINES, min_width=20, auto_scroll=True
        )
        yield Static(Text(self.KEYS, "reverse"), id="keys")

    def header(self) -> ComposeResult:
        """The heading above the text."""
        yield from ()

    @property
    def log_view(self) -> RichLog:
        """The text."""
        return self.query_one("#text", RichLog)

    def on_mount(self) -> None:
        """Show the title, and begin."""
        self.set_title(self.heading)
        self.log_view.focus()
        self.begin()

    def begin(self) -> None:
        """Write its text."""

    def on_unmount(self) -> None:
        """Threads that work for this pane may stop."""
        self.closed.set()

    def set_title(self, title: str) -> None:
        """Show a title."""
        self.query_one("#title", Bar).show(Text(sanitize(title), "bold"))

    def action_back(self) -> None:
        """Close the pane."""
        self.app.pop_screen()

    def action_scroll(self, lines: int) -> None:
        """Scroll by lines, for those whose arrows do not work."""
        self.log_view.scroll_relative(y=lines, animate=False)

    def run_in_thread(self, work: Callable[[], None]) -> None:
        """Do something that may show time. The thread is left behind when the view ends."""
        threading.Thread(target=work, daemon=True).start()

    def post_from_thread(self, show: Callable[[], None]) -> None:
        """From a thread: have a result shown, if the pane is still open."""
        if not self.closed.is_set():
            self.post_message(self.ThreadResult(show))

    def on_full_screen_pane_thread_result(self, message: "FullScreenPane.ThreadResult") -> None:
        """Show the result of a thread."""
        if not self.closed.is_set():
            message.show()


class TextPane(FullScreenPane):
    """A fixed text."""

    def __init__(self, title: str, lines: Sequence[Text | str]) -> None:
        super().__init__(title)
        self._lines = lines

    def begin(self) -> None:
        """Write its text."""
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
        """Request the entries."""
        self.set_title(f"{self.heading}: requesting ...")
        self.run_in_thread(self._fetch)

    def _fetch(self) -> None:
        try:
            entries = list(self._ask())
        except Exception as error:  # whatever it is: a pane with a sentence, not a dead view
            text = str(error)
            self.post_from_thread(lambda: self._show_error(text))
        else:
            self.post_from_thread(lambda: self._fill(entries))

    def _show_error(self, text: str) -> None:
        self.set_title(f"{self.heading}: no answer")
        self.log_view.write(Text(sanitize(f"! {text}"), "red"))

    def _fill(self, entries: Sequence[Mapping[str, Any]]) -> None:
        self.set_title(
            f"{self.heading}, the newest last" if entries else f"{self.heading}: nothing yet"
        )
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
        for line in list(lines)[-MAX_LAST_LINES:] if not self._names else ():
            text.append(f"\n  | {sanitize(str(line))}", "dim")
        return text


class ConfirmDialog(ModalScreen[bool]):
    """A question whose answer is no, unless it is y."""

    BINDINGS: ClassVar[list[BindingType]] = [
        priority_binding("y,Y", "close(True)"),
        priority_binding("n,N,escape,enter,q", "close(False)"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Make its widgets."""
        with Vertical(classes="dialog"):
            yield Static(Text(self._question, "bold"))
            yield Static(Text("y yes    n no"))

    def action_close(self, answer: bool) -> None:
        """Close with the answer."""
        self.dismiss(answer)


class HostActionDialog(ModalScreen[str]):
    """What to do with all agents of a host; empty: nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        priority_binding("u", "close('up')"),
        priority_binding("d", "close('down')"),
        priority_binding("r", "close('restart')"),
        priority_binding("escape,q,n,enter", "close('')"),
    ]

    def __init__(self, host: str, agents: int) -> None:
        super().__init__()
        self._host, self._agents = host, agents

    def compose(self) -> ComposeResult:
        """Make its widgets."""
        with Vertical(classes="dialog"):
            yield Static(Text(f"All agents of host {self._host} ({self._agents}):", "bold"))
            yield Static(
                Text(
                    "u  start all of them\n"
                    "d  stop all of them\n"
                    "r  restart those whose target is up\n"
                    "Esc  nothing"
                )
            )

    def action_close(self, answer: str) -> None:
        """Close with the answer."""
        self.dismiss(answer)
