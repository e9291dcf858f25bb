"""A program as every agent of OCS has one, with our HostManager in it.

With ``REACTOR=asyncio`` in the environment it has the line that we tell people to write, and
``STARTUP`` is what the process is started with, as JSON.
"""

import os

if os.environ.get("REACTOR") == "asyncio":
    from twisted.internet import asyncioreactor

    asyncioreactor.install()

import argparse
import json

from ocs import ocs_agent, site_config

from hostmanager.agent import HostManager


def main() -> None:
    """Start the agent and run until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--state-dir")
    args = site_config.parse_args(agent_class="HostManager", parser=parser)
    agent, runner = ocs_agent.init_site_agent(args)
    manager = HostManager(agent)
    startup = json.loads(os.environ.get("STARTUP", "true"))
    agent.register_process(
        "manager", manager.manager, manager._stop_manager, blocking=False, startup=startup
    )
    for name in ("update", "history", "output", "remove_orphans", "docker_pull", "die"):
        agent.register_task(name, getattr(manager, name), blocking=False)
    runner.run(agent, auto_reconnect=True)


if __name__ == "__main__":
    main()
