"""`hostmanager web`: the page for the whole site."""

import argparse
import logging
import os
import sys

from hostmanager.cli.exit_codes import OK, CommandError
from hostmanager.cli.options import (
    ANSWER_TIMEOUT,
    add_alerts_id,
    add_site_options,
    seconds,
)
from hostmanager.cli.output import Output, command
from hostmanager.util.help_parser import HelpParser
from hostmanager.util.network.listen_address import parse_listen_address

DEFAULT_LISTEN = "127.0.0.1:8090"

DESCRIPTION = """\
A page for the whole site, for browsers: what is wrong and why, all agents live, their output, what
happened when, and what can be done about it (pip install 'ocs-hostmanager[web]'). It runs on one host
until SIGTERM or Ctrl-C; docs/web.md describes it.

Only this host reaches it, unless --listen names another address. Then everybody who reaches that
address sees the site and can do with it what any client can without a password: put a reverse proxy in
front that knows its users, or use --read-only."""

EPILOG = """\
exit status:
  0    it ended by SIGTERM or Ctrl-C
  2    an option or the site config makes no sense, the port is taken, or the extra is not installed

examples:
  hostmanager web
      the page at http://127.0.0.1:8090/, for browsers of this host
  ssh -L 8090:localhost:8090 daq1
      ... and for a browser of another one, at http://localhost:8090/
  hostmanager web --listen 0.0.0.0:8090 --allow-host daq1.example.org --read-only
      for everybody in the network, to look at
  hostmanager web --root-path /hm --allow-host control.example.org --user-header X-Forwarded-User
      behind a reverse proxy that knows its users
"""


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    add_web_options(parser)
    add_site_options(parser)
    parser.set_defaults(privs=None)


def add_web_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the page; those of the site config are not among them."""
    parser.add_argument(
        "--listen",
        type=_address,
        default=DEFAULT_LISTEN,
        metavar="[HOST:]PORT",
        help="where to listen (default: %(default)s); port 0 is any that is free",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which browsers may ask for the page, beside localhost; may be repeated. Needed "
        "beyond this host: a page of somebody else could otherwise lead a browser here",
    )
    parser.add_argument(
        "--root-path",
        default="",
        metavar="PATH",
        help="what all addresses begin with, as /hm, behind a reverse proxy that passes it on",
    )
    parser.add_argument(
        "--read-only", action="store_true", help="only show; nothing can be changed"
    )
    parser.add_argument(
        "--user-header",
        default="",
        metavar="NAME",
        help="the header in which a reverse proxy says who asks, for the history; only believed from "
        "this host and --trusted-proxy",
    )
    parser.add_argument(
        "--trusted-proxy",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="address or network of a reverse proxy on another host; may be repeated",
    )
    parser.add_argument(
        "--ocs-web", default="", metavar="URL", help="address of ocs-web, for a link"
    )
    parser.add_argument(
        "--grafana", default="", metavar="URL", help="address of Grafana, for a link"
    )
    parser.add_argument(
        "--answer-time",
        type=seconds,
        default=ANSWER_TIMEOUT,
        metavar="SECONDS",
        help="how long each manager has for an answer (default: %(default)g)",
    )
    add_alerts_id(parser)


def _address(text: str) -> str:
    try:
        return str(parse_listen_address(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Run the server."""
    try:
        from hostmanager.web.main import run_server  # noqa: PLC0415 - only for this command
    except ModuleNotFoundError as error:
        if error.name not in ("jinja2", "markupsafe"):
            raise
        raise CommandError(
            "this needs the extra 'web': pip install 'ocs-hostmanager[web]' (jinja2 is not installed)."
        ) from None
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s: %(message)s"
    )
    run_server(args, os.environ)
    return OK
