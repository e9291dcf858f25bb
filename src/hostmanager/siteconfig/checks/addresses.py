"""Whether the addresses of a site config are addresses: what autobahn, OCS and crossbar take.

Nothing is resolved and nobody is asked; that an address is well-formed can be known at a desk.
"""

from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

from hostmanager.siteconfig.diagnostics import DiagnosticCollector
from hostmanager.siteconfig.yaml.nodes import YamlNode
from hostmanager.util.text import quote_value

SCHEMES = {"wamp_server": ("ws", "wss", "rs", "rss"), "wamp_http": ("http", "https")}
"""What the router's addresses may begin with; agents also take its raw sockets (rs, rss)."""

_KINDS = {"wamp_server": "the address of a websocket", "wamp_http": "the address of an HTTP bridge"}
_EXAMPLES = {"wamp_server": "ws://HOST:8001/ws", "wamp_http": "http://HOST:8001/call"}
_OTHER_KEY = {"wamp_server": "wamp_http", "wamp_http": "wamp_server"}
_USUAL_PATH = {"wamp_server": "/ws", "wamp_http": "/call"}


def url_problem(key: str, address: str) -> tuple[str, str] | None:
    """Say why an address of the router cannot be used; None if it can.

    Args:
        key: `wamp_server` or `wamp_http`.
        address: The address.

    Returns:
        What is wrong, as a sentence, and a hint.
    """
    what = f"{key!r} is {quote_value(address)}"
    example = f"Write {_EXAMPLES[key]}."
    try:
        url = urlsplit(address)
        faults = list(_faults(key, address, url))
    except ValueError:  # of an IPv6 address
        return f"{what}, which is not {_KINDS[key]}: its brackets are wrong.", example
    if not faults:
        return None
    if url.scheme in SCHEMES[_OTHER_KEY[key]]:
        other = _OTHER_KEY[key]
        return f"{what}, which is {_KINDS[other]}, as for {other!r}.", example
    return f"{what}, which is not {_KINDS[key]}: {faults[0]}.", example


def _faults(key: str, address: str, url: SplitResult) -> Iterator[str]:
    schemes = SCHEMES[key]
    if any(char.isspace() for char in address):
        yield "it has a space in it"
    if url.scheme not in schemes or not address.startswith(f"{url.scheme}://"):
        yield f"it does not begin with {schemes[0]}:// or {schemes[1]}://"
    if not url.hostname:
        yield "it names no host"
    try:
        is_valid_port = url.port != 0
    except ValueError:
        is_valid_port = False
    if not is_valid_port:
        yield "its port is not a number from 1 to 65535"


def check_addresses(node: YamlNode | None, collector: DiagnosticCollector) -> None:
    """Check the addresses in the hub, or in a host block that overrides them."""
    if node is None:
        return
    for key in SCHEMES:
        value = node.get(key)
        if value is None or not isinstance(value.value, str) or not value.value.strip():
            continue  # reported elsewhere
        if problem := url_problem(key, value.value):
            collector.error(value, *problem)
            continue
        path, usual = urlsplit(value.value).path, _USUAL_PATH[key]
        if path in ("", "/", _USUAL_PATH[_OTHER_KEY[key]]) and not value.value.startswith("rs"):
            has = f"the path {path!r}" if path else "no path"
            collector.warning(
                value,
                f"{key!r} has {has}; crossbar's is usually {usual!r}.",
                f"Write {_EXAMPLES[key]}, unless crossbar's config.json says otherwise.",
            )
    for key in ("wamp_realm", "address_root"):
        value = node.get(key)
        if value is not None and isinstance(value.value, str) and value.value.strip():
            _check_name(key, value, collector)


def _check_name(key: str, value: YamlNode, collector: DiagnosticCollector) -> None:
    """The router refuses white space and `#` in names, and empty parts of addresses."""
    name = value.value
    has_blank = any(char.isspace() or char == "#" for char in name)
    if has_blank or (key == "address_root" and "" in name.split(".")):
        why = (
            "white space or '#' in it"
            if has_blank
            else "an empty part before, after or between dots"
        )
        example = "observatory" if key == "address_root" else "test_realm"
        text = f"{key!r} is {quote_value(name)}, which no router accepts: it has {why}."
        collector.error(value, text, f"Write a name such as {example}.")
