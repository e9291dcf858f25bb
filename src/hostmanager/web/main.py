"""Runs the server until SIGTERM or Ctrl-C."""

import argparse
import asyncio
import logging
import signal
import socket
from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import isinf

from aiohttp import web

from hostmanager.client.errors import ClientError
from hostmanager.client.watch.live_site import LiveSite
from hostmanager.util.network.listen_address import why_not_listening
from hostmanager.util.network.notify_socket import NotifySocket, from_environ
from hostmanager.web.app import create_app
from hostmanager.web.settings import WebSettings, settings_of_options

log = logging.getLogger(__name__)

SHUTDOWN_TIMEOUT = 2.0
"""Seconds that answers under way have when the server ends."""

MAX_THREADS = 64
"""Threads that wait for managers. One for each processor and four more would be held up by one browser
that searches the output of an agent again and again."""

MAX_HEADER_BYTES = 16 * 1024

MAX_ADDRESS_BYTES = 128 * 1024
"""Of an address: the form of a change names the agents in it, and 1,000 may be selected."""


def run_server(args: argparse.Namespace, environ: MutableMapping[str, str]) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        ClientError: An option or the site config makes no sense, or it cannot listen there.
    """
    settings = settings_of_options(args)
    asyncio.run(serve(args, settings, from_environ(environ)))


async def serve(args: argparse.Namespace, settings: WebSettings, notify: NotifySocket) -> None:
    """Serve until a signal comes.

    Raises:
        ClientError: It cannot listen there, or there is no site config.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.set_default_executor(ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="page"))
    live = LiveSite(args)
    runner = web.AppRunner(
        create_app(settings, live, args),
        access_log=None,
        shutdown_timeout=SHUTDOWN_TIMEOUT,
        max_line_size=MAX_ADDRESS_BYTES,
        max_field_size=MAX_HEADER_BYTES,
    )
    listener = _bind(settings)  # people wait there until there is something to see
    try:
        await runner.setup()
        await live.start()
        await _wait_for_answers(live, args.answer_time)
        await web.SockSite(runner, listener).start()
        address = address_of(runner, settings)
        log.info("%s is shown at %s", live.site.path, address)
        notify.send(f"READY=1\nSTATUS=at {address}")
        await _wait(ended, notify)
        notify.send("STOPPING=1")
    finally:
        await live.close()
        await runner.cleanup()
        listener.close()


def _bind(settings: WebSettings) -> socket.socket:
    """Listen.

    Raises:
        ClientError: That is not possible.
    """
    host, port = settings.listen
    flags, kind = socket.AI_PASSIVE, socket.SOCK_STREAM
    try:
        family, _, _, _, address = socket.getaddrinfo(host or None, port, type=kind, flags=flags)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:
        raise ClientError(f"--listen {settings.listen}: {why_not_listening(error)}.") from None


async def _wait_for_answers(live: LiveSite, limit: float) -> None:
    """Wait until each manager has answered once, or the time is over: nothing is wrong before that."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit):
            while live.router_error is None and any(
                isinf(live.age(host)) for host in live.site.managers
            ):
                await live.changes(live.version)


def address_of(runner: web.AppRunner, settings: WebSettings) -> str:
    """What to type into a browser."""
    port = runner.addresses[0][1] if runner.addresses else settings.listen.port
    name = min(settings.allowed_hosts, default=settings.listen.host)
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{port}{settings.root_path}/"


async def _wait(ended: asyncio.Event, notify: NotifySocket) -> None:
    """Wait for the end; tell systemd's watchdog that the loop runs."""
    interval = notify.watchdog_timeout and notify.watchdog_timeout / 3
    while not ended.is_set():
        try:
            await asyncio.wait_for(ended.wait(), interval)
        except TimeoutError:
            notify.send("WATCHDOG=1")
