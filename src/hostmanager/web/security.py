"""What is asked of each request before it is answered, and the headers of each answer.

Pure: it gets what the request says. docs/security.md has the reasons.
"""

import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from hostmanager.web.errors import ExpiredFormError, ForbiddenError
from hostmanager.web.sessions import CSRF_FIELD, Session
from hostmanager.web.settings import WebSettings, host_of

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of each answer; pages have ``Cache-Control: no-store``, too."""

SAFE_METHODS = frozenset({"GET", "HEAD"})


def host_problem(host: str, settings: WebSettings) -> str:
    """What is wrong with the name by which a browser asks; empty: nothing.

    A page of somebody else may have had its name rebound to this address.
    """
    if host_of(host) in settings.names:
        return ""
    return (
        f"This server does not answer to the name {host_of(host)!r:.100}, only to: "
        f"{', '.join(sorted(settings.names))}. Whoever runs it adds others by --allow-host NAME.\n"
    )


def check_origin(headers: Mapping[str, str], settings: WebSettings) -> None:
    """Check that a form that changes something was sent by a page of ours.

    The port counts unless the name is one of `--allow-host`: a proxy may have another one.

    Raises:
        ForbiddenError: It was sent by another page, or does not say by which.
    """
    source = headers.get("Origin") or headers.get("Referer") or ""
    site = headers.get("Sec-Fetch-Site", "same-origin")
    if site in ("same-origin", "none") and _is_ours(source, headers.get("Host", ""), settings):
        return
    raise ForbiddenError(
        f"Nothing was changed: this form was sent by {source or 'an unknown page'!r:.200}, not by a "
        "page of this server. Behind a reverse proxy, name the host of its address: "
        "--allow-host NAME."
    )


def _is_ours(source: str, host: str, settings: WebSettings) -> bool:
    try:
        parts = urlsplit(source)
    except ValueError:
        return False
    if parts.scheme not in ("http", "https"):
        return False
    return parts.netloc.lower() == host.lower() or host_of(parts.netloc) in settings.allowed_hosts


def check_form(form: Mapping[str, object], session: Session | None) -> None:
    """Check that a form was made for this session.

    Raises:
        ExpiredFormError: It was made for another one, which is over.
    """
    sent = str(form.get(CSRF_FIELD, ""))
    if session is None or not hmac.compare_digest(sent.encode(), session.csrf.encode()):
        raise ExpiredFormError(
            "Nothing was sent: your session with this page is over (after eight hours without use, "
            "or because the server was started again)."
        )


def check_read_only(settings: WebSettings) -> None:
    """Check that the page may change something.

    Raises:
        ForbiddenError: It may not.
    """
    if settings.read_only:
        raise ForbiddenError(
            "Nothing was changed: this server only shows the site (it was started with --read-only)."
        )
