"""An agent of OCS with operations named like ours that do nothing: what its framework accepts.

python tests/integration/router/plain_agent.py --instance-id plain --site-file FILE --site-host HOST
"""

import argparse
from typing import Any

from ocs import ocs_agent, site_config
from twisted.internet.defer import Deferred, succeed


class Plain:
    """A process that runs until it is stopped, and tasks that end at once."""

    def __init__(self) -> None:
        self._end: Deferred[tuple[bool, str]] = Deferred()

    @ocs_agent.param("requests", default=[])
    @ocs_agent.param("reload_config", default=True, type=bool)
    def manager(self, session: Any, params: Any) -> Deferred[tuple[bool, str]]:
        """The process."""
        self._end = Deferred()
        return self._end

    def stop(self, session: Any, params: Any) -> Deferred[tuple[bool, str]]:
        """Its end."""
        session.set_status("stopping")
        self._end.callback((True, "stopped"))
        return succeed((True, "stopping"))

    @ocs_agent.param("requests", default=[])
    @ocs_agent.param("reload_config", default=False, type=bool)
    def update(self, session: Any, params: Any) -> Deferred[tuple[bool, str]]:
        """A task with parameters."""
        return succeed((True, "updated"))

    @ocs_agent.param("_")
    def remove_orphans(self, session: Any, params: Any) -> Deferred[tuple[bool, str]]:
        """A task without."""
        return succeed((True, "removed"))


def main() -> None:
    """Start the agent and run until told to stop."""
    args = site_config.parse_args(agent_class="PlainAgent", parser=argparse.ArgumentParser())
    agent, runner = ocs_agent.init_site_agent(args)
    plain = Plain()
    agent.register_process("manager", plain.manager, plain.stop, blocking=False, startup=True)
    agent.register_task("update", plain.update, blocking=False)
    agent.register_task("remove_orphans", plain.remove_orphans, blocking=False)
    runner.run(agent, auto_reconnect=True)


if __name__ == "__main__":
    main()
