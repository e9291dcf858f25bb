"""Where the `hostmanager` command starts: for a manager, signals come before all else.

What shells ask at each Tab is answered before any parser is made.
"""

import gc
import sys


def main() -> None:
    """Run the process's command line."""
    try:
        _main()
    except KeyboardInterrupt:  # before anything was begun
        sys.exit(130)
    finally:
        gc.freeze()  # Python need not look through all modules for cycles before it exits


def _main() -> None:
    gc.disable()  # for as long as modules are imported, of which nothing is garbage: `cli.main`
    if sys.argv[1:2] == ["run"]:
        from hostmanager.agent.daemon import early_signals, pid1  # noqa: PLC0415 - see there

        early_signals.note_signals()
        pid1.leave_process_1()
    if sys.argv[1:3] == ["completion", "candidates"]:  # at each Tab: it must be quick
        from hostmanager.cli.completion import candidates  # noqa: PLC0415

        candidates.main(sys.argv[3:])
        return
    from hostmanager.cli.main import main as run  # noqa: PLC0415 - after that

    run()


if __name__ == "__main__":  # as units start the alarm service
    main()
