"""The demo where there is no terminal: one line for each event, at once.

For logs, pipes and tests; nothing is ever overwritten, and there are no colours.
"""

import time

from hostmanager.demo.event_log import HINTS_HEADING, DemoEvent, EventLog
from hostmanager.demo.status import format_clock


class PlainOutput:
    """Prints what is new."""

    def message(self, text: str) -> None:
        """Print a line of the demo's own."""
        print(f"{format_clock(time.time())}  {text}", flush=True)

    def hints(self, commands: list[str]) -> None:
        """Print what to type in another terminal."""
        print(
            "", f"{HINTS_HEADING}:", *(f"  {line}" for line in commands), "", sep="\n", flush=True
        )

    def show(self, log: EventLog, events: list[DemoEvent], seconds_left: float | None) -> None:
        """Print the events."""
        for event in events:
            print(f"{format_clock(event.at)}  {event.subject:<9}  {event.text}", flush=True)

    def close(self) -> None:
        """Nothing to put away."""
