"""The corpus of site configs for `check`: wrong ones with what is expected of it, and right ones."""

from pathlib import Path

HERE = Path(__file__).parents[1] / "integration" / "check"
WRONG = sorted((HERE / "wrong").glob("*.yaml"))
RIGHT = sorted((HERE / "right").glob("*.yaml"))


def header(path: Path, key: str) -> list[str]:
    """What the comments of a file say under a key."""
    lines = path.read_text().splitlines()
    return [line.removeprefix(f"# {key}: ") for line in lines if line.startswith(f"# {key}: ")]
