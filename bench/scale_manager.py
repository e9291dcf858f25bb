"""Our manager as it is, but for its driver: the command line is that of `hostmanager run`.

The program, its event loop, its OCS face, connection, session data, journal and lock are the
real ones. There is no log daemon, since nothing writes. SIGUSR1 has an agent die.
"""

import asyncio
import signal
from importlib import import_module
from random import Random

from bench.scale_driver import SimulatedDriver
from hostmanager.agent.framework.event_loop import LoopClock
from hostmanager.agent.host import Host
from hostmanager.agent.options import ManagerSettings
from hostmanager.journal import Journal


def simulated_host(settings: ManagerSettings, loop: asyncio.AbstractEventLoop, *_: object) -> Host:
    """Make a host as `hostmanager.agent.bootstrap.make_host_from_args` does, with simulated agents."""

    def tell(text: str) -> None:
        loop.call_soon_threadsafe(lambda: host.emit_message(text))

    journal = Journal(settings.state_dir / "journal.sqlite", on_message=tell)
    driver = SimulatedDriver(loop)
    loop.add_signal_handler(signal.SIGUSR1, driver.kill_next)
    return (host := Host(settings, driver, LoopClock(loop), Random(), journal))


if __name__ == "__main__":
    program = import_module("hostmanager.agent.main")
    program.make_host_from_args = simulated_host
    program.main()
