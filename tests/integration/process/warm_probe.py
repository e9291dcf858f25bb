"""An agent of `ocs.agent_cli --agent`: writes down all that it sees of itself, and exits with 7."""

import argparse
import gc
import json
import locale
import os
import random
import resource
import signal
import sys
import threading
import time
from pathlib import Path


def main(args: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dump", type=Path)
    parser.add_argument("--wait", action="store_true")
    parser.add_argument("--say", default="")
    options = parser.parse_known_args(args)[0]
    print(options.say or "the probe runs")
    if options.wait:
        time.sleep(600)  # until it is killed
    if options.dump:
        data = everything()
        draft = options.dump.with_suffix(".draft")
        draft.write_text(json.dumps(data))
        draft.rename(options.dump)
    sys.exit(7)


def everything() -> dict:
    """All of it, with our pid and what tells two launches apart left out."""
    return {
        "was_forked": bool(int(proc("stat").rpartition(")")[2].split()[6]) & 0x40),
        **{f"proc/{name}": proc(name) for name in os.listdir("/proc/self")},
        "proc/fd": descriptors(),
        "proc/ns": {name: proc(f"ns/{name}") for name in os.listdir("/proc/self/ns")},
        "proc/environ": proc("environ").split("\0"),
        **{f"status/{line.partition(':')[0]}": line for line in proc("status").splitlines()},
        "proc/status": "",
        "status/SigCgt": caught(),
        **python(),
        **system(),
        "random/numpy": numpy_random(),
    }


def numpy_random() -> float:
    """A number of numpy's generator; to be called last, it imports numpy."""
    import numpy.random

    return numpy.random.random()


def proc(name: str) -> str:
    path = f"/proc/self/{name}"
    if os.path.islink(path):
        return os.readlink(path)
    try:
        with open(path, "rb") as file:
            data = file.read(1 << 20)
    except (OSError, ValueError):
        return "not to be read"
    return same(data.decode("utf-8", "replace"))


def same(text: str) -> str:
    """The text without what is the launch's own."""
    for name in ("OCS_HOSTMANAGER", "OCS_HOSTMANAGER_IDENTITY"):
        text = text.replace(os.environ[name], "…")
    lines = text.split("\n")
    return "\n".join(line for line in lines if not line.startswith("Max file locks"))


def caught() -> int:
    """The signals that are handled, without libc's own: it has them once there was a thread."""
    line = next(line for line in proc("status").splitlines() if line.startswith("SigCgt"))
    return int(line.split()[1], 16) & 0x7FFFFFFF


def descriptors() -> list[list]:
    """Which files are open, and how; the number of the lock may be any."""
    results = []
    for fd in (int(name) for name in os.listdir("/proc/self/fd")):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
        if target.startswith("/proc/"):
            continue  # the directory that is listed
        flags = [line for line in proc(f"fdinfo/{fd}").splitlines() if line.startswith("flags")]
        kind = os.path.splitext(target)[1] if target.startswith("/") else target
        results.append([fd if fd < 3 else 3, kind, os.get_inheritable(fd), *flags])
    return sorted(results)


def python() -> dict:
    plain = (str, int, float, bool, tuple, list, dict, set, frozenset, type(None))
    of_sys = {
        f"sys/{name}": same(repr(sorted(value) if isinstance(value, frozenset) else value))
        for name, value in vars(sys).items()
        # Not modules: some are imported when they are looked at.
        if name != "modules" and (isinstance(value, plain) or name in ("flags", "version_info"))
    }
    names = vars(sys.modules["__main__"])
    streams = (sys.stdin, sys.stdout, sys.stderr)
    of_stream = (
        "encoding",
        "errors",
        "line_buffering",
        "write_through",
        "newlines",
        "name",
        "mode",
    )
    return {
        **of_sys,
        "sys/modules": sorted(sys.modules),
        "sys/path_hooks": [getattr(each, "__qualname__", "") for each in sys.path_hooks],
        "sys/meta_path": [getattr(each, "__name__", str(type(each))) for each in sys.meta_path],
        "python/main": {
            name: repr(value)
            for name, value in names.items()
            if name.startswith("__") and name not in ("__builtins__", "__loader__", "__spec__")
        },
        "python/main_names": sorted(names),
        "python/spec": [names["__spec__"].name, names["__spec__"].origin, names["__spec__"].parent],
        "python/streams": [
            [
                *(str(getattr(stream, each)) for each in of_stream),
                stream.isatty(),
                stream.seekable(),
            ]
            for stream in streams
        ],
        "python/buffers": [repr(stream.buffer) for stream in streams],
        "python/gc": [gc.isenabled(), gc.get_threshold(), gc.get_debug()],
        "python/recursion": sys.getrecursionlimit(),
        "python/switch": sys.getswitchinterval(),
        "python/hooks": [
            sys.excepthook is sys.__excepthook__,
            sys.displayhook is sys.__displayhook__,
        ],
        "python/trace": [repr(sys.gettrace()), repr(sys.getprofile())],
        "python/encoding": [sys.getfilesystemencoding(), sys.getdefaultencoding()],
        "python/locale": [locale.setlocale(locale.LC_ALL), locale.getlocale()],
        "python/threads": [each.name for each in threading.enumerate()],
        "python/main_thread": [
            threading.current_thread() is threading.main_thread(),
            threading.main_thread().ident == threading.get_ident(),
            threading.get_native_id() == os.getpid(),
        ],
        "python/native_id": threading.main_thread().native_id == os.getpid(),
        "python/environ": [same(f"{key}={value}") for key, value in os.environ.items()],
        "python/signals": {
            number.name: repr(signal.getsignal(number)).partition(" at ")[0]
            for number in signal.valid_signals()
            if isinstance(number, signal.Signals)
        },
        "python/blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "python/wakeup": signal.set_wakeup_fd(-1),
    }


def system() -> dict:
    pid = os.getpid()
    umask = os.umask(0)
    os.umask(umask)
    limits = {name: getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
    return {
        **{f"limits/{name}": resource.getrlimit(number) for name, number in limits.items()},
        "os/leads": [os.getsid(0) == pid, os.getpgid(0) == pid],
        "os/parent": os.getppid(),
        "os/nice": os.getpriority(os.PRIO_PROCESS, 0),
        "os/scheduler": os.sched_getscheduler(0),
        "os/affinity": sorted(os.sched_getaffinity(0)),
        "os/umask": umask,
        "os/cwd": os.getcwd(),
        "os/ids": [os.getresuid(), os.getresgid(), os.getgroups()],
        "os/threads": len(os.listdir("/proc/self/task")),
        "os/children": open(f"/proc/self/task/{pid}/children").read(),
        "random/value": random.random(),
    }
