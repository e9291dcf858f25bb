"""An agent that dies now and then, so that the demo has something to show.

A real OCS agent in all else: it registers at the router, runs a process and publishes to
a feed. After a time by chance it gives up as broken programs do: with a last line on
stderr and a non-zero exit code.
"""

import argparse
import os
import random
import sys
import time
from typing import Any

import txaio
from ocs import ocs_agent, site_config

EXIT_CODE = 3
PERIOD = 0.5
"""Seconds between two published values."""


class DemoFlakyAgent:
    """Publishes how long it still has to live, and dies when that is over.

    Args:
        agent: The OCS agent that the operations belong to.
        lifetime: Seconds until it dies.
    """

    def __init__(self, agent: Any, lifetime: float) -> None:
        self.agent = agent
        self._lifetime = lifetime
        self._running = False
        agent.register_feed("wobble", record=False)

    @ocs_agent.param("_")
    def wobble(self, session: Any, params: Any) -> tuple[bool, str]:
        """wobble()

        **Process** - Publish the seconds that are left, then die.
        """  # noqa: D400, D402, D415 - the form that OCS clients show
        self._running = True
        end = time.monotonic() + self._lifetime
        while self._running and time.monotonic() < end:
            session.data = {"seconds_left": round(end - time.monotonic(), 1)}
            self.agent.publish_to_feed("wobble", dict(session.data))
            time.sleep(min(PERIOD, max(0.0, end - time.monotonic())))
        if self._running:
            self._die()
        return True, "It was stopped in time."

    def _stop_wobble(self, session: Any, params: Any) -> tuple[bool, str]:
        self._running = False
        return True, "It stops within half a second."

    def _die(self) -> None:
        # The plain stderr: txaio puts its log in place of sys.stderr.
        print(f"giving up after {self._lifetime:.1f} s, as always", file=sys.__stderr__, flush=True)
        os._exit(EXIT_CODE)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the agent's own options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--lifetime",
        nargs=2,
        type=float,
        metavar=("SHORTEST", "LONGEST"),
        default=(10.0, 20.0),
        help="how long it lives, in seconds, by chance between these two (default: 10 20)",
    )
    return parser


def main(args: list[str] | None = None) -> None:
    """Start the agent and run until it dies or is told to stop."""
    txaio.start_logging(level=os.environ.get("LOGLEVEL", "info"))
    options = site_config.parse_args(agent_class="DemoFlakyAgent", parser=make_parser(), args=args)
    agent, runner = ocs_agent.init_site_agent(options)
    flaky = DemoFlakyAgent(agent, random.uniform(*options.lifetime))
    agent.register_process("wobble", flaky.wobble, flaky._stop_wobble, startup=True)
    runner.run(agent, auto_reconnect=True)
