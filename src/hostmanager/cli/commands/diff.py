"""`hostmanager diff`: what a reload would do, host by host."""

import argparse

from hostmanager.cli.exit_codes import FAILED, OK
from hostmanager.cli.host_results import prepared_code
from hostmanager.cli.options import add_common, add_hosts, make_epilog
from hostmanager.cli.output import Output, command
from hostmanager.client.change.reload_plan import MARKS_HELP, prepare_reload
from hostmanager.client.site_model import read_site
from hostmanager.util.help_parser import HelpParser

DESCRIPTION = """\
Show what a reload of the site config would do on each host: the site config as it is read here,
compared with what each manager knows now. If the hosts have copies of the file, each manager reads
its own. Nothing is changed."""

EPILOG = make_epilog(
    before=MARKS_HELP,
    done="a reload would change nothing",
    not_reached="it would change something",
    examples="""\
  hostmanager diff
  hostmanager diff --host daq1 --site-file new-site.yaml
      what a new version of the file would do to daq1
""",
)


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    add_hosts(parser)
    add_common(parser)


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Show what a reload would change."""
    site = read_site(args)
    change = prepare_reload(site, args)
    output.plan(change.lines)
    hosts = change.content["plan"]
    code = FAILED if any(host["changes"] for host in hosts) else OK
    code = max(code, prepared_code(change))
    return output.emit_json(code, site_file=site.path, hosts=hosts)
