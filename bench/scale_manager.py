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
from hostmanager.agent.operator_messages import OperatorMessages
from hostmanager.agent.parts import ManagerParts
from hostmanager.agent.settings import ManagerSettings
from hostmanager.journal import Journal


def simulated_parts(
    settings: ManagerSettings, loop: asyncio.AbstractEventLoop, *_: object
) -> ManagerParts:
    """Make the parts as `hostmanager.agent.bootstrap.make_parts` does, with simulated agents."""
    messages = OperatorMessages()

    def tell(text: str) -> None:
        loop.call_soon_threadsafe(messages.emit, text)

    journal = Journal(settings.state_dir / "journal.sqlite", on_message=tell)
    driver = SimulatedDriver(loop)
    loop.add_signal_handler(signal.SIGUSR1, driver.kill_next)
    return ManagerParts(
        *(settings, driver, LoopClock(loop), Random()), journal=journal, messages=messages
    )


if __name__ == "__main__":
    main = import_module("hostmanager.agent.main")
    import_module("hostmanager.agent.program").make_parts = simulated_parts
    main.main()
