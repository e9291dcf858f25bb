"""What `hostmanager check` checks beside the file: plugins, managers, compose files, router."""

import argparse
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from urllib.parse import urlsplit

from hostmanager.cli.check.agents import TLS_HINT, InstalledPlugins, check_agents
from hostmanager.cli.check.compose import check_compose, parse_overrides
from hostmanager.cli.check.limits import check_limits
from hostmanager.cli.check.managers import check_directories, check_managers
from hostmanager.cli.check.report import Category, CheckReport
from hostmanager.cli.check.router import LOOPBACK_NAMES, RouterEndpoint, check_router
from hostmanager.siteconfig.checks.addresses import SCHEMES, url_problem
from hostmanager.siteconfig.checks.full_check import CheckedSite
from hostmanager.siteconfig.host_block import OVERRIDES
from hostmanager.siteconfig.yaml.nodes import YamlNode

_HUB_OPTIONS = {
    "wamp_server": "site_hub",
    "wamp_http": "site_http",
    "wamp_realm": "site_realm",
    "address_root": "address_root",
}


def run_checks(
    site: CheckedSite,
    plugins: InstalledPlugins,
    here: str | None,
    args: argparse.Namespace,
    report: CheckReport,
) -> None:
    """Run these checks.

    Args:
        site: The site config.
        plugins: What is installed here.
        here: The host that this machine is, if it is one of them.
        args: The command line.
        report: Gets what is wrong.
    """
    overrides = parse_overrides(args.docker_compose, list(site.hosts))
    managers = check_managers(site, report)
    if here is not None:
        check_directories(site, managers, here, report)
        check_limits(site, here, report)
    binary = args.docker_compose_bin
    check_compose(site, managers, overrides, report, here=here, binary=binary)
    check_agents(site, plugins, here, report, elsewhere=args.elsewhere)
    if here is not None:
        _check_tls(site, here, report)
    if args.offline:
        return
    if not site.hub_is_valid:
        report.skipped.append("the router: the 'hub' does not say where it is")
        return
    endpoints = list(_router_endpoints(site, here, args, report))
    usable = [endpoint for endpoint in endpoints if not _has_reported_address(endpoint)]
    for endpoint in [e for e in usable if e.websocket.startswith(("rs:", "rss:"))]:
        report.skipped.append(f"the router: {endpoint.websocket} is a raw socket")
        usable.remove(endpoint)
    reached = [check_router(endpoint, args.answer_time, report) for endpoint in usable]
    report.router_unreachable = bool(reached) and not any(reached)


def _check_tls(site: CheckedSite, here: str, report: CheckReport) -> None:
    """OCS's agents need a library for TLS that `ocs` itself does not require."""
    server = _hub_overrides(site.nodes[here]).get("wamp_server") or _text_node(
        site.hub, "wamp_server"
    )
    if server is None or not str(server.value).startswith("wss:") or find_spec("OpenSSL"):
        return
    text = "agents cannot reach a router with TLS from here: the library OpenSSL is not installed."
    report.error(Category.CLASS, server, text, TLS_HINT, host=here)


def _router_endpoints(
    site: CheckedSite, here: str | None, args: argparse.Namespace, report: CheckReport
) -> Iterator[RouterEndpoint]:
    """The addresses of the router: the hub's, and those of hosts that have their own.

    From elsewhere, clients use the hub's, even if no host does.
    """
    hub = {key: node for key in _HUB_OPTIONS if (node := _text_node(site.hub, key)) is not None}
    overrides = {host: _hub_overrides(site.nodes[host]) for host in site.hosts}
    if here is None or not all(overrides.values()):
        yield _endpoint(hub, None, args, report)
    checked = set()
    for host, own in overrides.items():
        if not own:
            continue
        endpoint = _endpoint({**hub, **own}, host, args, report)
        key = (endpoint.websocket, endpoint.bridge, endpoint.realm)
        if key in checked:
            continue
        checked.add(key)
        if host != here and urlsplit(endpoint.websocket).hostname in LOOPBACK_NAMES:
            report.skipped.append(
                f"the router as seen from host {host}: {endpoint.websocket} is on that host"
            )
            continue
        yield endpoint


def _has_reported_address(endpoint: RouterEndpoint) -> bool:
    """Whether an address of the file is malformed, which has been reported there."""
    return any(
        url_problem(key, str(node.value))
        for key, node in endpoint.locations.items()
        if key in SCHEMES
    )


def _text_node(node: YamlNode | None, key: str) -> YamlNode | None:
    value = node.get(key) if node is not None else None
    return value if value is not None and isinstance(value.value, str) else None


def _hub_overrides(block: YamlNode) -> dict[str, YamlNode]:
    return {key: node for key in OVERRIDES if (node := _text_node(block, key)) is not None}


def _endpoint(
    locations: Mapping[str, YamlNode],
    host: str | None,
    args: argparse.Namespace,
    report: CheckReport,
) -> RouterEndpoint:
    values = {key: getattr(args, option) for key, option in _HUB_OPTIONS.items()}
    unset = {key: node for key, node in locations.items() if values[key] is None}
    values.update({key: str(node.value) for key, node in unset.items()})
    if not values["wamp_http"]:
        report.warning(
            Category.ROUTER,
            locations.get("wamp_server"),
            "there is no 'wamp_http', so ocsbow, ocs-web and this command cannot reach the agents.",
            "Add 'wamp_http: http://ROUTER:8001/call'.",
            host=host,
        )
    return RouterEndpoint(
        websocket=values["wamp_server"],
        bridge=values["wamp_http"],
        realm=values["wamp_realm"],
        address_root=values["address_root"],
        locations=unset,
        host=host,
    )
