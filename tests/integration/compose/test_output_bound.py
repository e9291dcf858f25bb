"""However much a compose command prints, a bounded part of it is kept."""

import os
import sys
from pathlib import Path

import pytest

from hostmanager.composefile.command import MAX_OUTPUT_BYTES, STDERR_TAIL, ComposeError, execute

CWD = Path("/")


def python(script: str) -> tuple[str, ...]:
    return (sys.executable, "-c", script)


async def test_output_beyond_the_bound_is_refused_in_words():
    script = f"print('x' * {MAX_OUTPUT_BYTES * 4})"
    with pytest.raises(ComposeError, match=f"printed more than {MAX_OUTPUT_BYTES:,} bytes"):
        await execute(python(script), os.environ, CWD, 60)


async def test_of_its_errors_the_end_is_kept():
    script = f"import sys; sys.stderr.write('x' * {STDERR_TAIL * 4} + 'the end'); sys.exit(3)"
    result = await execute(python(script), os.environ, CWD, 60)
    assert (result.exit_code, result.stderr[-7:], len(result.stderr)) == (3, "the end", STDERR_TAIL)


async def test_what_is_fed_arrives_and_what_comes_back_is_whole():
    script = "import sys; sys.stdout.write(sys.stdin.read())"
    fed = b"y" * (MAX_OUTPUT_BYTES // 2)
    result = await execute(python(script), os.environ, CWD, 60, fed)
    assert result.stdout.encode() == fed


async def test_one_that_does_not_read_is_no_error():
    result = await execute(python("pass"), os.environ, CWD, 60, b"y" * 1_000_000)
    assert result.exit_code == 0
