"""The demo where there is no terminal: one line for each thing that happens, at once.

For logs, pipes and tests; nothing is ever overwritten, and there are no colours.
"""

import time

from hostmanager.demo.event_log import HINTS_HEADING, Event, EventLog
from hostmanager.demo.view import clock


class PlainOutput:
    """Prints what is new."""

    def say(self, text: str) -> None:
        """Print a line of the demo's own."""
        print(f"{clock(time.time())}  {text}", flush=True)

    def hints(self, commands: list[str]) -> None:
        """Print what to type in another terminal."""
        print(
            "", f"{HINTS_HEADING}:", *(f"  {line}" for line in commands), "", sep="\n", flush=True
        )

    def show(self, story: EventLog, news: list[Event], left: float | None) -> None:
        """Print the news."""
        for line in news:
            print(f"{clock(line.at)}  {line.about:<9}  {line.text}", flush=True)

    def close(self) -> None:
        """Nothing to put away."""
