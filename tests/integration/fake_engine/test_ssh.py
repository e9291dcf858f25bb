"""An engine by ssh: a real ssh connection, whose far end passes on to an engine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncssh
import pytest

from hostmanager.drivers.compose.engine import Engine, EngineError
from tests.integration.fake_engine.server import FakeEngine


@pytest.fixture
async def far_end(fake: FakeEngine, tmp_path, monkeypatch) -> AsyncIterator[str]:
    """The address of a host by ssh, on which the `docker` command talks to the engine."""
    directory = tmp_path / "home" / ".ssh"
    directory.mkdir(mode=0o700, parents=True)
    monkeypatch.setenv("HOME", str(directory.parent))
    host_key, user_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    user_key.write_private_key(directory / "id_ed25519")
    user_key.write_public_key(directory / "authorized")
    asked: list[str | None] = []

    async def dial(process: asyncssh.SSHServerProcess[bytes]) -> None:
        asked.append(process.command)
        reader, writer = await asyncio.open_unix_connection(str(fake.socket))
        await process.redirect(stdin=writer, stdout=reader)
        await process.stdout.drain()
        with suppress(OSError):
            await writer.wait_closed()
        process.exit(0)

    server = await asyncssh.create_server(
        asyncssh.SSHServer,
        "127.0.0.1",
        0,
        server_host_keys=[host_key],
        authorized_client_keys=str(directory / "authorized"),
        process_factory=dial,
        encoding=None,
    )
    port = server.sockets[0].getsockname()[1]
    known = host_key.export_public_key().decode()
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {known}")
    yield f"ssh://me@127.0.0.1:{port}"
    server.close()
    await server.wait_closed()
    assert set(asked) <= {"docker system dial-stdio"}


async def test_an_engine_answers_by_ssh(far_end):
    engine = Engine(far_end)
    try:
        await engine.ping(60)
        await engine.ping(60)
    finally:
        await engine.close()


async def test_a_host_that_is_not_known_is_refused_with_words(far_end, tmp_path):
    (tmp_path / "home" / ".ssh" / "known_hosts").write_text("")
    engine = Engine(far_end)
    try:
        with pytest.raises(EngineError, match=r"cannot be reached.*[Hh]ost key"):
            await engine.ping(60)
    finally:
        await engine.close()


async def test_without_known_hosts_it_cannot_be_used(far_end, tmp_path):
    (tmp_path / "home" / ".ssh" / "known_hosts").unlink()
    with pytest.raises(EngineError, match=r"cannot be used: Host key verification .*known_hosts"):
        Engine(far_end)
