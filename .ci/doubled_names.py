"""Lists public top-level names that stand in two modules: one name is one concept.

    python .ci/doubled_names.py src/hostmanager

Only definitions count, not imports. What may stand twice, and why, is in `ALLOWED`; an entry that
is no longer needed is named, so that the list stays short.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

SUBCOMMANDS = "what each module of a subcommand has: cli/main.py calls it"
PROGRAM = "where a program begins; python -m and entry points look for it"

ALLOWED: dict[str, str] = {
    "DESCRIPTION": SUBCOMMANDS,
    "EPILOG": SUBCOMMANDS,
    "add_options": SUBCOMMANDS,
    "run": SUBCOMMANDS,
    "main": PROGRAM,
    "log": "the logger of the module",
    "ROUTES": "what each module of addresses has: web/app.py reads it",
}

MODULE_CONSTANTS = ("_INTERVAL", "_TIMEOUT", "TIMEOUT", "STYLES", "COLUMNS", "MARKS", "LINES")
"""Ends of names of plain figures and tables, which a module has for itself: who reads one of them
has the module's name beside it (`logd.reader.MAX_LINES`)."""


def definitions(module: Path) -> Iterator[str]:
    """Public names that a module defines at its top."""
    for node in ast.parse(module.read_text()).body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names = [node.name]
            case ast.Assign():
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                names = [name]
            case _:
                continue
        yield from (name for name in names if not name.startswith("_"))


def doubled(package: Path) -> dict[str, list[str]]:
    """Modules by name, of each name that stands in more than one."""
    modules = defaultdict(list)
    for module in sorted(package.rglob("*.py")):
        for name in dict.fromkeys(definitions(module)):
            modules[name].append(str(module.relative_to(package)))
    return {name: where for name, where in modules.items() if len(where) > 1}


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    found = doubled(Path(sys.argv[1]))
    wrong = [
        f"{name} stands in {', '.join(where)}"
        for name, where in sorted(found.items())
        if name not in ALLOWED and not (name.isupper() and name.endswith(MODULE_CONSTANTS))
    ]
    for name in sorted(ALLOWED.keys() - found):
        print(f"{name} need not be allowed any more")
    print("\n".join(wrong) or "Each public name stands in one module.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
