"""`python -m hostmanager.logd --state DIR --files DIR [--max-bytes N] [--max-files M]`.

Started by the manager, in a session of its own; ends on the command `quit`, or when neither
a manager nor a writer is left. Signals that come from terminals are ignored.
"""

import os
import resource
import signal
import sys
from contextlib import suppress

from hostmanager.logd.daemon import LogDaemon
from hostmanager.logd.settings import Settings
from hostmanager.logd.stderr_log import log_error


def main(argv: list[str]) -> int:
    """Run until the end.

    Returns:
        0: it was told to end, or is not needed any more. 1: another log daemon has this state
        directory. 2: the arguments make no sense.
    """
    try:
        settings = Settings.parse(argv)
    except ValueError as error:
        log_error(f"{error}\n{__doc__}")
        return 2
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    # So that whoever cleans up after a site (the demo, say) finds it by its working directory.
    os.chdir(settings.state)
    os.umask(0o027)
    _raise_limits()
    daemon = LogDaemon(settings)
    if not daemon.acquire_state_dir():
        return 1
    daemon.run()
    return 0


def _raise_limits() -> None:
    """Have a descriptor for each pipe; and others killed first when memory is short, if root asks."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with suppress(OSError), open("/proc/self/oom_score_adj", "wb", buffering=0) as file:
        file.write(b"-500")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
