"""Whether a process of a container is left that its engine has lost track of.

An engine that is killed while it starts a container may refuse ever after to start it ("task …
already exists"), because the container's shim lives on. Removing that container and making
another is safe only if no process of it runs: a second copy would be worse than none.

Every process of a container descends from its shim, which is named with the container's id. So
a shim that is seen on this machine, and has no child, leaves nothing to be doubted. One that is
not seen says nothing: the engine may be on another machine, or processes of others hidden.
"""

import psutil

SHIM_NAME = "containerd-shim"


def has_no_process(container_id: str) -> bool:
    """Tell whether it is certain that no process of a container is left; reads /proc."""
    shims = [pid for pid, argv in _processes().items() if _is_shim_of(argv, container_id)]
    if not shims:
        return False
    try:
        return not any(psutil.Process(pid).children() for pid in shims)
    except psutil.Error:
        return False  # it has ended meanwhile; the next attempt will tell


def _processes() -> dict[int, list[str]]:
    found = psutil.process_iter(["cmdline"])
    return {process.pid: process.info["cmdline"] or [] for process in found}


def _is_shim_of(argv: list[str], container_id: str) -> bool:
    return bool(argv) and SHIM_NAME in argv[0] and container_id in argv
