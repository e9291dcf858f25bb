"""One event loop for everything: asyncio's (uvloop's where it is there), under Twisted too."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

from hostmanager.core.events import Timestamp


def new_loop() -> asyncio.AbstractEventLoop:
    """Make the event loop."""
    try:
        import uvloop  # noqa: PLC0415 - optional: it is not there on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def install_reactor(loop: asyncio.AbstractEventLoop) -> None:
    """Have Twisted run on `loop`. To be called before anything imports the reactor.

    Its timers go by the monotonic clock. By the wall clock, as Twisted has it, one that is set back
    holds up each timer that runs for as long: a connection that was being made was never given up.
    """
    from twisted.internet import asyncioreactor  # noqa: PLC0415 - see above

    asyncioreactor.install(eventloop=loop)
    from twisted.internet import reactor  # noqa: PLC0415 - see above

    reactor.seconds = time.monotonic


def run_reactor() -> None:
    """Run the reactor that was installed, until `stop_reactor`; it leaves signals alone."""
    from twisted.internet import reactor  # noqa: PLC0415 - it has been installed by now

    reactor.run(installSignalHandlers=False)


def stop_reactor() -> None:
    """End `run_reactor`."""
    from twisted.internet import reactor  # noqa: PLC0415 - it has been installed by now

    reactor.stop()


@contextmanager
def skip_optional_imports(*, tls: bool = True) -> Iterator[None]:
    """Import autobahn and the reactor in here, and they come without what they can do without.

    For serializers that are not used here autobahn would import numpy (15 MB), bjdata (a page of
    warnings when it was built for another numpy) and cbor2 (1.5 MB); for coloured text, click
    (1 MB); for passwords that OCS's routers do not ask for, argon2 and passlib (1 MB); for TLS,
    OpenSSL (5.5 MB). They touch none of them at import time. Later imports of them get the real ones.

    Args:
        tls: Whether Twisted will be asked for connections with TLS.
    """
    substitutes: dict[str, ModuleType | None] = {"numpy": ModuleType("numpy")}
    absent = ("bjdata", "cbor2", "click", "argon2", *(() if tls else ("OpenSSL",)))
    substitutes |= dict.fromkeys(absent)  # None: not found
    substitutes = {name: s for name, s in substitutes.items() if name not in sys.modules}
    sys.modules.update(substitutes)  # type: ignore[arg-type] # None: not found
    try:
        yield
    finally:
        for name in substitutes:
            sys.modules.pop(name, None)


class LoopClock:
    """The core's `Clock` on an event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> Timestamp:
        """Read the clocks.

        `loop.time()` of uvloop stands still within one turn of the loop; this one does not.
        """
        return Timestamp(time.monotonic(), time.time())

    def call_at(self, mono: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Schedule a call; as a delay, since the loop's clock may have another zero."""
        return self._loop.call_later(max(0.0, mono - time.monotonic()), callback)
