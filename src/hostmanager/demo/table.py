"""The demo on a terminal: a live picture of what a client sees of the manager.

Fits into 80 columns and 24 lines; wider terminals get the message of each agent in its
row, higher ones more messages. What is to be copied is printed once, above the picture,
and stays where it is.
"""

import time
from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hostmanager.demo.event_log import HINTS_HEADING, Event, EventLog
from hostmanager.demo.site import DemoSite
from hostmanager.demo.view import Message, Row, clock, length

WIDE = 120
"""Columns from which on the messages of agents stand in their rows."""

MOST_LINES, FEWEST_LINES = 15, 4
"""Of messages."""

ABOVE = 9
"""Lines that are left to what was printed above the picture: the commands to copy."""

STATE_STYLES = {"up": "green", "down": "dim", "?": "red"}
COLUMNS: tuple[tuple[str, str], ...] = (
    ("instance", "left"),
    ("class", "left"),
    ("target", "left"),
    ("state", "left"),
    ("pid", "right"),
    ("uptime", "right"),
    ("restarts", "right"),
    ("stable", "right"),
    ("last exit", "left"),
)


class LiveTable:
    """Draws, and draws again."""

    def __init__(self, site: DemoSite, router: str, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._site = site
        self._router = router
        self._begun = time.monotonic()
        self._live: Live | None = None

    def say(self, text: str) -> None:
        """Print a line of the demo's own, above the picture."""
        self.console.print(Text(text), soft_wrap=True)

    def hints(self, commands: list[str]) -> None:
        """Print what to type in another terminal."""
        self.console.print(Text(f"{HINTS_HEADING}; Ctrl-C here ends the demo:", "bold"))
        for command in commands:
            self.console.print(Text(f"  {command}", "cyan"), soft_wrap=True)

    def show(self, story: EventLog, news: list[Event], left: float | None) -> None:
        """Draw the picture anew."""
        picture = self.picture(story, left)
        if self._live is None:
            self._live = Live(picture, console=self.console, auto_refresh=False)
            self._live.start()
        self._live.update(picture, refresh=True)

    def close(self) -> None:
        """Leave the last picture where it is, and give the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def picture(self, story: EventLog, left: float | None = None) -> RenderableType:
        """Everything that is drawn."""
        wide = self.console.width >= WIDE
        remarks = [] if wide else [_remark(row) for row in story.view.rows if row.message]
        # One line each: header 2, headings 1, a gap before the messages 1, the cursor 1.
        room = self.console.height - len(story.view.rows) - len(remarks) - 5 - ABOVE
        lines = max(FEWEST_LINES, min(MOST_LINES, room))
        problem = [Text(story.view.problem, "bold red")] if story.view.problem else []
        return Group(
            *self._header(left),
            table(story.view.rows, wide),
            *remarks,
            Text("latest messages of the manager", "bold"),
            *problem,
            *map(_message, _newest(story.view.messages, lines, self.console.width)),
        )

    def _header(self, left: float | None) -> list[Text]:
        ran = length(time.monotonic() - self._begun)
        ends = "" if left is None else f", ends in {length(max(0.0, left))}"
        lines = [f"router {self._router}, running for {ran}{ends}", f"site   {self._site.file}"]
        return [Text(line, "bold", no_wrap=True, overflow="ellipsis") for line in lines]


def table(rows: tuple[Row, ...], wide: bool) -> Table:
    """The instances, one line each."""
    drawn = Table(box=None, padding=(0, 1, 0, 0), header_style="bold underline", expand=wide)
    for heading, justify in COLUMNS:
        drawn.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    if wide:
        drawn.add_column("message", ratio=1, no_wrap=True, overflow="ellipsis")
    for row in rows:
        drawn.add_row(*_cells(row, wide), *([row.message] if wide else []))
    return drawn


def _cells(row: Row, wide: bool) -> list[Text]:
    stable = "dim" if row.state == "down" else "green" if row.stability > 0.5 else "red"
    ended = row.last_exit
    died = ended is not None and not ended.expected
    return [
        Text(row.name, "bold"),
        Text(row.agent_class if wide else row.agent_class.removesuffix("Agent")),
        Text(row.target),
        Text(row.state, STATE_STYLES.get(row.state, "yellow")),
        Text("" if row.pid is None else str(row.pid)),
        Text(length(row.uptime)),
        Text(str(row.restarts)),
        Text(f"{row.stability:.2f}", stable),
        Text("" if ended is None else ended.text, "red" if died else "dim"),
    ]


def _remark(row: Row) -> Text:
    return Text(f"{row.name}: {row.message}", "yellow", no_wrap=True, overflow="ellipsis")


def _newest(messages: Iterable[Message], lines: int, width: int) -> list[Message]:
    """As many of the newest messages as fit into that many lines."""
    fitting: list[Message] = []
    for message in reversed(tuple(messages)):
        lines -= 1 + len(_message(message)) // (width - 5)  # words are kept whole
        if lines < 0:
            break
        fitting.insert(0, message)
    return fitting


def _message(message: Message) -> Text:
    at, text = message
    return Text(f"{clock(at)} ", "dim").append(text, "default")
