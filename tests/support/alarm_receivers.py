"""Receivers of alarms on loopback: an SMTP server, and an HTTP server for webhooks."""

import email
import email.policy
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from aiosmtpd.controller import Controller

from hostmanager.testing.ports import free_port


class MailServer:
    """Keeps the mails that it gets: `mails`, as (subject, text)."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, str]] = []
        self.port = free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        body = mail.get_body(("plain",))
        self.mails.append((str(mail["Subject"]), body.get_content() if body else ""))
        return "250 OK"


class Webhook:
    """Keeps what is posted: `posts`, as (title, message). It can be down, and up again."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, str]] = []
        self.port = free_port()
        self._server: ThreadingHTTPServer | None = None

    def up(self) -> Self:
        posts = self.posts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                posts.append((data["title"], data["message"]))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def down(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
