"""`python -m hostmanager.logd --state DIR --files DIR [--max-bytes N] [--max-files M]`.

Started by the manager, in a session of its own; ends when told to (`quit`), or when neither
a manager nor a writer is left. Signals that come from terminals are ignored.
"""

import os
import signal
import sys

from hostmanager.logd.daemon import LogDaemon
from hostmanager.logd.settings import Settings
from hostmanager.logd.stderr_log import log_error


def main(words: list[str]) -> int:
    """Run until the end.

    Returns:
        0: told to end, or not needed any more. 1: another scribe has this state folder.
        2: the arguments make no sense.
    """
    try:
        settings = Settings.parse(words)
    except ValueError as error:
        log_error(f"{error}\n{__doc__}")
        return 2
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    # Where it works, so that whoever clears up after a site (the demo, say) finds it there.
    os.chdir(settings.state)
    os.umask(0o027)
    keeper = LogDaemon(settings)
    if not keeper.acquire_state_dir():
        return 1
    keeper.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
