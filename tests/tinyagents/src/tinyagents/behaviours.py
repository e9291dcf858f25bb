"""What a TinyAgent can do: one function each, named as the mode in `ALL`."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tinyagents.notes import note, publish

LINE = 100  # bytes, of each line of a chatty one
_GRANDCHILD = "import time\nwhile True: time.sleep(1000)"


def announce(options: Namespace) -> None:
    """Say that everything is set up: from here on signals have their effect."""
    print(f"tiny {options.instance_id} up pid {os.getpid()}", flush=True)


def on_signals(options: Namespace, act: Callable[[signal.Signals], None]) -> None:
    """From now on, note SIGINT and SIGTERM for those outside, and act on them."""

    def handle(number: int, _frame: object) -> None:
        received = signal.Signals(number)
        line = f"{os.getpid()} {received.name} {time.monotonic():.6f}"
        note(options.working_dir, "signals", options.instance_id, line)
        act(received)

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)


def pause() -> NoReturn:
    """Wait for signals for ever.

    By a pipe, since `signal.pause` does not end for a signal that came just before it was called.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    while True:
        os.read(reading, 1)


def end(_received: signal.Signals) -> NoReturn:
    """End at once, with success."""
    os._exit(0)


def fail(options: Namespace) -> NoReturn:
    """End with the code asked for, after the usual last words."""
    print(f"tiny {options.instance_id}: no answer from the device", file=sys.stderr, flush=True)
    os._exit(options.code)


def ok(options: Namespace) -> NoReturn:
    on_signals(options, end)
    announce(options)
    pause()


def exit_at_once(options: Namespace) -> NoReturn:
    fail(options)


def crash_after(options: Namespace) -> NoReturn:
    on_signals(options, end)
    announce(options)
    time.sleep(options.value)  # as told
    fail(options)


def slow_stop(options: Namespace) -> NoReturn:
    stopping: list[signal.Signals] = []

    def linger(received: signal.Signals) -> None:
        """In the handler itself, so that no signal can fall between a look and a wait."""
        stopping.append(received)
        if len(stopping) > 1:
            return  # the first one's wait goes on
        deadline = time.monotonic() + options.value
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(left)
        end(received)

    on_signals(options, linger)
    announce(options)
    pause()


def stubborn(options: Namespace) -> NoReturn:
    on_signals(options, lambda received: None if received is signal.SIGINT else end(received))
    announce(options)
    pause()


def very_stubborn(options: Namespace) -> NoReturn:
    on_signals(options, lambda _received: None)
    announce(options)
    pause()


def chatty(options: Namespace) -> NoReturn:
    """Numbered lines of `LINE` bytes at an even rate; ends between two writes only."""
    messages: list[signal.Signals] = []
    on_signals(options, messages.append)
    announce(options)
    started = time.monotonic()
    lines, total = 0, int(options.total) // LINE
    while lines < total and not messages:
        due = min(total, int((time.monotonic() - started) * options.rate) // LINE + 1)
        due = min(due, lines + 10_000)
        write_all(b"".join(numbered(number) for number in range(lines, due)))
        lines = due
        time.sleep(0.005)
    spent = time.monotonic() - started
    if options.working_dir is not None:
        result_file = Path(options.working_dir, "chatty", options.instance_id)
        publish(result_file, f"{lines} {lines * LINE} {spent:.3f}\n")
    on_signals(options, end)  # first this, then the look: no signal is missed
    if messages:
        end(messages[0])
    pause()


def counted(options: Namespace) -> NoReturn:
    """Lines ``<pid>-<start> <number>`` at an even rate, until told to end.

    How many are out for certain is in ``counts/<id>/<pid>-<start>``, even after a SIGKILL: a
    line that is missing in what was kept of the output can be told from one never written.
    """
    on_signals(options, end)
    run = f"{os.getpid()}-{time.monotonic_ns()}"
    path = Path(options.working_dir, "counts", options.instance_id, run)
    path.parent.mkdir(parents=True, exist_ok=True)
    count = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    announce(options)
    started, lines = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - started) * options.rate) // LINE + 1
        due = min(due, lines + 500)
        write_all(
            b"".join(
                f"{run} {n:09} ".encode().ljust(LINE - 1, b".") + b"\n" for n in range(lines, due)
            )
        )
        lines = due
        os.pwrite(count, b"%012d" % lines, 0)
        time.sleep(LINE / options.rate)


def numbered(number: int) -> bytes:
    """One line of a chatty one."""
    return b"%012d " % number + b"." * (LINE - 14) + b"\n"


def write_all(data: bytes) -> None:
    """Write to stdout, however many system calls it takes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


def bad_utf8(options: Namespace) -> NoReturn:
    on_signals(options, end)
    announce(options)
    for stream in (1, 2):
        os.write(stream, b"a bad byte: \xff\n")
        os.write(stream, b"a split character: \xc3")
        time.sleep(0.05)
        os.write(stream, b"\xa9\n")
        os.write(stream, b"after the bad bytes\n")
    pause()


def fork(options: Namespace) -> NoReturn:
    """Grandchildren in our process group that ignore SIGINT, as inherited from us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    command = [sys.executable, "-S", "-c", _GRANDCHILD, "tiny-grandchild", options.instance_id]
    grandchildren = [subprocess.Popen(command) for _ in range(options.grandchildren)]

    def leave(received: signal.Signals) -> None:
        for child in [] if options.leave else grandchildren:
            child.kill()
            child.wait()
        end(received)

    on_signals(options, leave)
    announce(options)
    pause()


def segfault(options: Namespace) -> NoReturn:
    announce(options)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    while True:
        os.kill(os.getpid(), signal.SIGSEGV)


def dump_env(options: Namespace) -> NoReturn:
    environment = surroundings()
    path = Path(options.dump or f"{options.working_dir or '.'}/dumps/{options.instance_id}.json")
    publish(path, json.dumps(environment, indent=2))
    ok(options)


def surroundings() -> dict[str, object]:
    """What this process was started with.

    The signal masks are hexadecimal, as the kernel has them; Python itself ignores
    SIGPIPE and SIGXFSZ and handles SIGINT.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    masks = dict(line.split(":\t") for line in status if line.startswith("Sig"))
    descriptors = {}
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the listing's own
            descriptors[int(entry.name)] = str(entry.readlink())
    umask = os.umask(0o022)
    os.umask(umask)
    return {
        "argv": sys.orig_argv,
        "cwd": str(Path.cwd()),
        "environ": dict(os.environ),
        "fds": descriptors,
        "signals": masks,
        "sigint": repr(signal.getsignal(signal.SIGINT)),
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "pgid": os.getpgrp(),
        "sid": os.getsid(0),
        "umask": oct(umask),
        "nice": os.nice(0),
    }


ALL: dict[str, Callable[[Namespace], NoReturn]] = {
    "ok": ok,
    "exit-at-once": exit_at_once,
    "crash-after": crash_after,
    "slow-stop": slow_stop,
    "stubborn": stubborn,
    "very-stubborn": very_stubborn,
    "chatty": chatty,
    "counted": counted,
    "bad-utf8": bad_utf8,
    "fork": fork,
    "segfault": segfault,
    "dump-env": dump_env,
}
