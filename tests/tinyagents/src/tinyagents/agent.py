"""A process that `ocs-agent-cli` can start and that behaves, or misbehaves, as told.

No Twisted and no router: it starts in a tenth of a second, so that tests can have many.
The site file says how it behaves, by ``arguments: [--behave, MODE, VALUE]``:

=================  ==========================================================================
ok                 waits; ends at once with code 0 on SIGINT and SIGTERM (the default)
exit-at-once       ends with ``--code`` (1) after a last line on stderr
crash-after S      the same, S seconds after its start
slow-stop S        ends S seconds after the first SIGINT or SIGTERM
stubborn           ignores SIGINT
very-stubborn      ignores SIGINT and SIGTERM
chatty             writes ``--total`` bytes of numbered lines at ``--rate`` bytes/s, then waits
counted            writes numbered lines at ``--rate`` bytes/s, and counts them in counts/<id>/
bad-utf8           writes undecodable bytes and a character split over two writes, then waits
fork               has ``--grandchildren`` (2) that ignore SIGINT; kills them when it ends,
                   or leaves them behind with ``--leave``
segfault           dies of SIGSEGV
dump-env           writes what it was started with to ``--dump`` or dumps/<id>.json, then waits
=================  ==========================================================================

For those who watch from outside, in the working directory (``--working-dir``):
``launches/<id>`` gets a line ``pid monotonic-seconds`` at each start, ``signals/<id>`` a
line ``pid name monotonic-seconds`` for each signal, and ``chatty/<id>`` the line
``lines bytes seconds`` when a chatty one has written all.
"""

import argparse
import os
import sys
import time

from ocs import site_config

from tinyagents import behaviours
from tinyagents.notes import note


def parse(args: list[str] | None) -> argparse.Namespace:
    """Site options from the command line, the rest from the site file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--behave", nargs="+", default=["ok"], metavar=("MODE", "VALUE"))
    parser.add_argument("--code", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1e6)
    parser.add_argument("--total", type=float, default=1e6)
    parser.add_argument("--grandchildren", type=int, default=2)
    parser.add_argument("--leave", action="store_true")
    parser.add_argument("--dump")
    options = site_config.parse_args(agent_class="TinyAgent", parser=parser, args=args)
    options.mode, *values = options.behave
    options.value = float(values[0]) if values else 1.0
    return options


def main(args: list[str] | None = None) -> None:
    """Start, say so, behave as told."""
    started = time.monotonic()
    options = parse(args)
    note(options.working_dir, "launches", options.instance_id, f"{os.getpid()} {started:.6f}")
    behave = behaviours.ALL.get(options.mode)
    if behave is None:
        sys.exit(f"--behave {options.mode}: there are {', '.join(behaviours.ALL)}")
    behave(options)


if __name__ == "__main__":
    main()
