"""The demo on a terminal: the table of `hostmanager status`, live, and the manager's messages.

Fits into 80 columns and 24 lines; higher terminals get more messages. What is to be copied is
printed once, above the table, and stays where it is.
"""

import time
from collections.abc import Callable, Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from hostmanager.client.status.model import HostStatus
from hostmanager.demo.event_log import HINTS_HEADING, DemoEvent, EventLog
from hostmanager.demo.site import DemoSite
from hostmanager.demo.status import Message, format_clock
from hostmanager.util.text import format_duration

StatusTable = Callable[[Sequence[HostStatus], float, int], Iterable[RenderableType]]
"""Makes the table of hosts, for a Unix time and a width: that of the command line."""

MAX_MESSAGES, MIN_MESSAGES = 15, 4

LINES_ABOVE = 10
"""Lines that are left to what was printed above the table: the commands to copy."""


class LiveTable:
    """Draws, and draws again."""

    def __init__(
        self, site: DemoSite, router: str, table: StatusTable, console: Console | None = None
    ) -> None:
        self.console = console or Console(highlight=False)
        self._site = site
        self._router = router
        self._table = table
        self._started = time.monotonic()
        self._live: Live | None = None

    def message(self, text: str) -> None:
        """Print a line of the demo's own, above the table."""
        self.console.print(Text(text), soft_wrap=True)

    def hints(self, commands: list[str]) -> None:
        """Print what to type in another terminal."""
        self.console.print(Text(f"{HINTS_HEADING}; Ctrl-C here ends the demo:", "bold"))
        for command in commands:
            self.console.print(Text(f"  {command}", "cyan"), soft_wrap=True)

    def show(self, log: EventLog, events: list[DemoEvent], seconds_left: float | None) -> None:
        """Draw everything anew."""
        picture = self.render(log, seconds_left)
        if self._live is None:
            self._live = Live(picture, console=self.console, auto_refresh=False)
            self._live.start()
        self._live.update(picture, refresh=True)

    def close(self) -> None:
        """Leave the last picture where it is, and give the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def render(self, log: EventLog, seconds_left: float | None = None) -> RenderableType:
        """Everything that is drawn."""
        width, view = self.console.width, log.view
        hosts = [] if view.host is None else [view.host]
        rows = list(self._table(hosts, time.time(), width))
        # One line each: header 3, the heading of the messages 1, a problem 1, the cursor 1.
        room = self.console.height - len(rows) - 6 - LINES_ABOVE
        lines = max(MIN_MESSAGES, min(MAX_MESSAGES, room))
        return Group(
            *self._header(log, seconds_left),
            *rows,
            Text("latest messages of the manager", "bold"),
            *([Text(view.problem, "bold red")] if view.problem else []),
            *map(_message_text, _newest(view.messages, lines, width)),
        )

    def _header(self, log: EventLog, seconds_left: float | None) -> list[Text]:
        ran = format_duration(round(time.monotonic() - self._started))
        ends = "" if seconds_left is None else f", ends in {format_duration(max(0, seconds_left))}"
        lines = [f"router {self._router}, running for {ran}{ends}", f"site   {self._site.file}"]
        lines.append(f"health {log.readiness()}")
        return [Text(line, "bold", no_wrap=True, overflow="ellipsis") for line in lines]


def _newest(messages: Iterable[Message], lines: int, width: int) -> list[Message]:
    """As many of the newest messages as fit into that many lines."""
    fitting: list[Message] = []
    for message in reversed(tuple(messages)):
        lines -= 1 + len(_message_text(message)) // (width - 5)  # words are kept whole
        if lines < 0:
            break
        fitting.insert(0, message)
    return fitting


def _message_text(message: Message) -> Text:
    at, text = message
    return Text(f"{format_clock(at)} ", "dim").append(text, "default")
