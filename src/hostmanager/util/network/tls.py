"""What TLS reports where no encrypted connection to the router can be made.

Twisted says no more than "certificate verify failed", and OCS's client for the HTTP bridge only
that it failed to connect.
"""

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

TLS_TIMEOUT = 5.0
"""Seconds that an attempt may take."""

_DATES = (
    "Renew the certificate of the router, or set the clock that is wrong, the router's or this one."
)
_NAMES = "Write the router's address in the site config with a name that is in its certificate."
_HINTS = {9: _DATES, 10: _DATES, 62: _NAMES, 64: _NAMES}
"""By OpenSSL's number of what is wrong with a certificate."""

_UNKNOWN = (
    "Name the file with the certificate of its authority: in SSL_CERT_FILE for the manager and its "
    "agents, in REQUESTS_CA_BUNDLE for clients."
)
_NO_TLS = "Does the router have TLS at this port? If not, write ws:// and http://."


@dataclass(frozen=True, slots=True)
class TlsFailure:
    """Why no encrypted connection can be made.

    Attributes:
        text: What TLS reported.
        hint: What to do, as sentences.
    """

    text: str
    hint: str


def tls_failure(error: BaseException) -> TlsFailure | None:
    """Find what TLS reported in an error, or in its causes; None if it reported nothing."""
    ssl_error = next((one for one in _origins(error) if isinstance(one, ssl.SSLError)), None)
    if isinstance(ssl_error, ssl.SSLCertVerificationError):
        text = f"certificate verify failed: {ssl_error.verify_message.rstrip('.')}"
        return TlsFailure(text, _HINTS.get(ssl_error.verify_code, _UNKNOWN))
    if ssl_error is not None:
        return TlsFailure((ssl_error.reason or str(ssl_error)).lower().replace("_", " "), _NO_TLS)
    return None


def try_tls(host: str, port: int) -> TlsFailure | None:
    """Make an encrypted connection, as agents do, and end it. Blocks.

    Returns:
        What TLS reported; None if it accepts it, or did not come that far.
    """
    try:
        context = ssl.create_default_context()
        with (
            socket.create_connection((host, port), TLS_TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return None
    except (OSError, ValueError) as error:  # a name that is none is a ValueError
        return tls_failure(error)


def _origins(error: BaseException) -> Iterator[BaseException]:
    """An error, and all that it was made or raised from: requests wraps one in three others."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            inside = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
            waiting += [other for other in inside if isinstance(other, BaseException)]
