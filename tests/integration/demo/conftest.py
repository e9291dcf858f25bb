from collections.abc import Callable, Iterator

import pytest
from tests.support.demos import Demo


@pytest.fixture
def start_demo(tmp_path) -> Iterator[Callable[..., Demo]]:
    """Start the demo: ``start_demo("--duration", "9", NAME="value")``; what it leaves is killed."""
    started: list[Demo] = []

    def start(*options: str, **more: str) -> Demo:
        directory = tmp_path / f"demo{len(started) + 1}"
        directory.mkdir()
        started.append(Demo(directory, *options, **more))
        return started[-1]

    yield start
    for demo in started:
        demo.kill_all()
