"""Sends one message by apprise, as a process of its own: `python -m hostmanager.alerts.send`.

A child can be ended when a receiver hangs, and what apprise imports does not stay in memory. It
reads one JSON value on stdin, so that no secret is on a command line, and prints one on stdout:
``{"check": [URL, ...]}`` gives for each URL what would be right, empty if it can be used;
``{"url": URL, "title": …, "body": …}`` gives the reason why it was not sent, empty if it was.
"""

import json
import logging
import sys
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

MIN_SECRET_CHARS = 4

NOT_INSTALLED = "apprise is not installed"
"""The beginning of the answer without apprise."""


class _Reasons(logging.Handler):
    """Keeps what apprise complains of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def redact(text: str, url: str) -> str:
    """Replace every part of a URL in a text: which of them are secrets depends on the service."""
    parts = urlsplit(url)
    words = [url, parts.netloc, *parts.netloc.replace("@", ":").split(":")]
    words += [*parts.path.split("/"), parts.fragment, *(v for _, v in parse_qsl(parts.query))]
    for word in sorted({*words, *map(unquote, words)}, key=len, reverse=True):
        if len(word) >= MIN_SECRET_CHARS:
            text = text.replace(word, "***")
    return text


def url_problems(urls: list[str]) -> list[str]:
    """What would be right for each URL; empty: it can be used."""
    from apprise import Apprise  # noqa: PLC0415 - an extra

    # Adding it reads it, and connects to nothing.
    return ["" if Apprise().add(url) else _right_form(url.partition("://")[0]) for url in urls]


def _right_form(scheme: str) -> str:
    from apprise import Apprise  # noqa: PLC0415

    for service in Apprise().details()["schemas"]:
        if scheme.lower() in (*(service["protocols"] or ()), *(service["secure_protocols"] or ())):
            forms = [form.replace("{schema}", scheme) for form in service["details"]["templates"]]
            return f"Write {' or '.join(forms[:3])}; see {service['setup_url']}"
    return (
        f"apprise knows no service '{scheme}://', or a package for it is missing; all of them: "
        "https://github.com/caronc/apprise/wiki"
    )


def send_message(url: str, title: str, body: str) -> str:
    """Send a message; returns why it could not be sent, or an empty text."""
    from apprise import Apprise, NotifyFormat, NotifyType  # noqa: PLC0415

    reasons = _Reasons()
    logging.getLogger("apprise").addHandler(reasons)
    services = Apprise()
    if not services.add(url):
        return "apprise cannot use the URL"
    sent = services.notify(
        body=body, title=title, notify_type=NotifyType.INFO, body_format=NotifyFormat.TEXT
    )
    return "" if sent else redact("; ".join(reasons.texts) or "no reason was given", url)


def main() -> None:
    """Do what stdin says."""
    logging.lastResort = None
    request: dict[str, Any] = json.load(sys.stdin)
    try:
        import apprise  # noqa: F401, PLC0415
    except ImportError:
        error = f"{NOT_INSTALLED}: pip install 'ocs-hostmanager[alerts]'"
        print(json.dumps([error] * len(request["check"]) if "check" in request else error))
        return
    try:
        answer: Any = (
            url_problems(request["check"]) if "check" in request else send_message(**request)
        )
    except Exception as error:  # its plugins raise whatever they like
        answer = f"apprise failed: {type(error).__name__}"
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
