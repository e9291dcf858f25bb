"""Lists what tests should not do: use private names of ours, and sleep without saying why.

    python .ci/tests_from_outside.py tests

A private name (`_name`) is somebody else's if the file does not define it. What may be used all the
same, and why, is in `ALLOWED`; an entry that is no longer needed is named, so that the list stays short.
A sleep that is no pause in a loop waits for something that it does not look at: `wait_for` does, or a
comment on its line (or the line above) says why nothing can be seen.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

OF_OTHERS = "of OCS, argparse or aiodocker, which offer nothing else"
OCS_CALLS = "OCS's manager has it, and OCS's own tests call it"
PARSER = "reads foreign bytes, and is fed with all there can be"
KERNEL = "what another kernel, or the host at a bad moment, answers"
BEFORE = "older than this check: to go"

ALLOWED: dict[str, str] = {
    "_acquired": OF_OTHERS,
    "_api": OF_OTHERS,
    "_client": OF_OTHERS,
    "_docker": OF_OTHERS,
    "_option_string_actions": OF_OTHERS,
    "_reload_config": OCS_CALLS,
    "_stop_manager": OCS_CALLS,
    "_holder": PARSER,
    "_load_error": PARSER,
    "_parse_reply": PARSER,
    "_parse_verdict": PARSER,
    "_parsed": PARSER,
    "_partial_line": PARSER,
    "_read": PARSER,
    "_services": PARSER,
    "_TO_GROUP": KERNEL,
    "_by_pidfd": KERNEL,
    "_members": KERNEL,
    "_call_later": BEFORE,
    "_controllers": BEFORE,
    "_counting": BEFORE,
    "_deps": BEFORE,
    "_job": BEFORE,
    "_loop_of_reactor": BEFORE,
    "_make_settings": BEFORE,
    "_tasks": BEFORE,
    "_tracked": BEFORE,
    "_write": BEFORE,
}

ACCESSORS = ("setattr", "getattr", "delattr", "hasattr")
"""Functions, and methods of `monkeypatch`, that name an attribute in their first or second argument."""


def is_private(name: str) -> bool:
    """Whether a name begins with one underscore."""
    return (
        name.startswith("_") and not name.startswith("__") and name.isidentifier() and name != "_"
    )


def own_names(tree: ast.Module) -> set[str]:
    """What the file defines itself: functions, classes, attributes of its classes."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
            ):
                names.add(name)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                names.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
    return names


def private_uses(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of each private attribute, import and name in a string that is used."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls" | "os" | "sys")):
                pass
            case ast.Attribute(attr=name):
                yield node.lineno, name
            case ast.ImportFrom(names=imported):
                yield from ((node.lineno, alias.name) for alias in imported)
            case ast.Call(func=ast.Attribute(attr=called) | ast.Name(id=called), args=arguments):
                if called in ACCESSORS:
                    texts = [a.value for a in arguments[:2] if isinstance(a, ast.Constant)]
                    named = [text.rpartition(".")[2] for text in texts if isinstance(text, str)]
                    yield from ((node.lineno, name) for name in named)


def lone_sleeps(tree: ast.Module) -> Iterator[int]:
    """Lines of sleeps outside of loops."""
    in_loops = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.While | ast.For | ast.AsyncFor)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="time" | "asyncio"), attr="sleep")):
                if id(node) not in in_loops and ast.unparse(node.args[0]) != "0":
                    yield node.lineno


def private_faults(file: Path, tree: ast.Module, needed: set[str]) -> Iterator[str]:
    """Private names that may not be used; those that may are added to `needed`."""
    own = own_names(tree)
    for line, name in private_uses(tree):
        if is_private(name) and name not in own:
            needed.add(name)
            if name not in ALLOWED:
                yield f"{file}:{line}: {name} is private"


def sleep_faults(file: Path, tree: ast.Module, lines: list[str]) -> list[str]:
    """Sleeps that do not say why."""
    return [
        f"{file}:{line}: a sleep that does not say why: use wait_for"
        for line in lone_sleeps(tree)
        if "#" not in lines[line - 1] and not lines[line - 2].lstrip().startswith("#")
    ]


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    wrong: list[str] = []
    needed: set[str] = set()
    for file in sorted(Path(sys.argv[1]).rglob("*.py")):
        text = file.read_text()
        tree = ast.parse(text)
        wrong += private_faults(file, tree, needed)
        wrong += sleep_faults(file, tree, text.splitlines())
    for name in sorted(ALLOWED.keys() - needed):
        print(f"{name} need not be allowed any more")
    print("\n".join(wrong) or "Tests look from outside, and wait for what they can see.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
