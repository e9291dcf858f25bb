"""How the server was started: its address, its names, what it may."""

import argparse
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from hostmanager.client.errors import ClientError
from hostmanager.util.network.listen_address import ListenAddress, parse_listen_address

OWN_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names by which the browser of this host may ask, whatever the server listens at."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_HEADER = re.compile(r"[A-Za-z0-9-]+")
_NAME = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:]+")


@dataclass(frozen=True, slots=True)
class WebSettings:
    """How the server was started.

    Attributes:
        listen: Where it listens.
        root_path: What all addresses begin with, as ``/hm``; empty: nothing.
        read_only: Whether nothing can be changed by the page.
        user_header: The header in which a proxy says who asks; empty: none is believed.
        trusted_proxies: Whose headers are believed, beside those of this host.
        allowed_hosts: Names by which browsers may ask for the page, beside those of this host.
        ocs_web_url: Address of ocs-web; empty: no link.
        grafana_url: Address of Grafana; empty: no link.
    """

    listen: ListenAddress
    root_path: str = ""
    read_only: bool = False
    user_header: str = ""
    trusted_proxies: tuple[Network, ...] = ()
    allowed_hosts: frozenset[str] = frozenset()
    ocs_web_url: str = ""
    grafana_url: str = ""

    @property
    def names(self) -> frozenset[str]:
        """All names by which browsers may ask for the page, in lower case."""
        return OWN_NAMES | self.allowed_hosts

    def trusts(self, address: str | None) -> bool:
        """Whether headers of a client at this address are believed: a proxy's."""
        try:
            client = ipaddress.ip_address(address or "")
        except ValueError:
            return False
        return client.is_loopback or any(client in network for network in self.trusted_proxies)


def settings_of_options(args: argparse.Namespace) -> WebSettings:
    """Read the options.

    Raises:
        ClientError: One of them makes no sense.
    """
    listen = parse_listen_address(args.listen) if isinstance(args.listen, str) else args.listen
    names = frozenset(_read_name(name) for name in args.allow_host)
    if not is_loopback(listen.host) and not names:
        raise ClientError(
            f"--listen {listen}: everybody who reaches this address could use the page, and a browser "
            "could be led there under another name. Name the host that people type into their "
            "browsers: --allow-host NAME. Without --listen only this host is served."
        )
    if args.user_header and not _HEADER.fullmatch(args.user_header):
        raise ClientError(f"--user-header {args.user_header}: this is no name of a header.")
    if args.trusted_proxy and not args.user_header:
        raise ClientError(
            "--trusted-proxy is for the header that --user-header names; add that option."
        )
    return WebSettings(
        listen,
        _read_root_path(args.root_path),
        args.read_only,
        args.user_header,
        tuple(map(_read_network, args.trusted_proxy)),
        names,
        _read_url("--ocs-web", args.ocs_web),
        _read_url("--grafana", args.grafana),
    )


def is_loopback(host: str) -> bool:
    """Whether only this host reaches what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read_name(text: str) -> str:
    name = text.strip("[]").lower()
    if not _NAME.fullmatch(name):
        raise ClientError(
            f"--allow-host {text}: write the name alone, without port and path, as 'daq1.example.org'."
        )
    return name


def _read_root_path(text: str) -> str:
    path = text.rstrip("/")
    if path and not _PATH.fullmatch(path):
        raise ClientError(f"--root-path {text}: write a path that begins with a slash, as '/hm'.")
    return path


def _read_network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ClientError(
            f"--trusted-proxy {text}: {error}. Write an address or a network, as '10.0.0.5' or "
            "'10.0.0.0/24'."
        ) from None


def _read_url(option: str, text: str) -> str:
    if text and urlsplit(text).scheme not in ("http", "https"):
        raise ClientError(
            f"{option} {text}: write an address that begins with http:// or https://."
        )
    return text.rstrip("/")


def host_of(netloc: str) -> str:
    """The name in ``NAME[:PORT]``, in lower case; empty if it makes no sense."""
    try:
        return (urlsplit(f"//{netloc}").hostname or "").lower()
    except ValueError:
        return ""
