"""A real, minimal OCS agent: it registers at the router, with one task and one process."""

import argparse
import os
import time

import txaio
from ocs import ocs_agent, site_config

from tinyagents.notes import note


class TinyOCSAgent:
    """Counts, and answers."""

    def __init__(self, agent: ocs_agent.OCSAgent) -> None:
        self.agent = agent
        self._counting = False

    @ocs_agent.param("text", default="hello", type=str)
    def echo(self, session, params):
        """echo(text='hello')

        **Task** - Answer with the text.
        """
        session.data = {"text": params["text"], "pid": os.getpid()}
        return True, params["text"]

    @ocs_agent.param("_")
    def count(self, session, params):
        """count()

        **Process** - Count up, ten times a second.
        """
        self._counting = True
        value = 0
        while self._counting:
            value += 1
            session.data = {"value": value, "pid": os.getpid()}
            time.sleep(0.1)
        return True, f"counted to {value}"

    def _stop_count(self, session, params):
        self._counting = False
        return True, "told to stop"


def main(args: list[str] | None = None) -> None:
    """Start the agent and run until told to stop."""
    started = time.monotonic()
    txaio.use_twisted()
    txaio.start_logging(level=os.environ.get("LOGLEVEL", "info"))
    parser = argparse.ArgumentParser()
    options = site_config.parse_args(agent_class="TinyOCSAgent", parser=parser, args=args)
    note(options.working_dir, "launches", options.instance_id, f"{os.getpid()} {started:.6f}")
    agent, runner = ocs_agent.init_site_agent(options)
    tiny = TinyOCSAgent(agent)
    agent.register_task("echo", tiny.echo)
    agent.register_process("count", tiny.count, tiny._stop_count, startup=True)
    print(f"tiny {options.instance_id} up pid {os.getpid()}", flush=True)
    runner.run(agent, auto_reconnect=True)


if __name__ == "__main__":
    main()
