"""On the PYTHONPATH of a router of the tests: crossbar without what it imports and does not use there.

It imports web3 and what that requires, in both of its processes, and uses it for an Ethereum key
that nobody asks for; clients of Docker and Tor; numpy; databases for cookies that nobody keeps. That is
two thirds of the processor time of a start, some sixty times in a run of all tests.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

UNUSED = frozenset(
    (
        *("eth_abi", "eth_account", "eth_hash", "eth_keyfile", "eth_keys", "eth_typing"),
        *("eth_utils", "hexbytes", "py_ecc", "py_eth_sig_utils", "web3"),
        *("cfxdb", "docker", "numpy", "qrcode", "txtorcon", "yapf", "zlmdb"),
    )
)


class _AnythingType(type):
    def __getattr__(cls, name: str) -> "type[Anything]":
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything


class Anything(metaclass=_AnythingType):
    """Stands for each class and each function of these packages, and for what it returns."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __call__(self, *_: object, **__: object) -> "Anything":
        return self

    def __getattr__(self, name: str) -> "Anything":
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __eq__(self, other: object) -> bool:
        return True  # so the key that it reads again fits

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "0x0"


class Unused(ModuleType):
    """Each module of these packages."""

    __path__ = ()

    def __getattr__(self, name: str) -> type[Anything]:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything


class Finder(MetaPathFinder, Loader):
    """Finds them before they are looked for."""

    def find_spec(
        self, name: str, _path: object = None, _target: object = None
    ) -> ModuleSpec | None:
        unused = name.partition(".")[0] in UNUSED
        return ModuleSpec(name, self, is_package=True) if unused else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Unused(spec.name)

    def exec_module(self, module: ModuleType) -> None: ...


def _is_crossbar(command: Sequence[str]) -> bool:
    return any("crossbar" in word for word in command[:6])


if _is_crossbar(sys.orig_argv):
    sys.meta_path.insert(0, Finder())
