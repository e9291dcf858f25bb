"""`hostmanager diff`: what a reload would do, host by host."""

import argparse

from hostmanager.cli.exit_codes import FAILED, OK
from hostmanager.cli.options import add_common, add_hosts, make_epilog
from hostmanager.cli.output import Output, command
from hostmanager.cli.reload_view import MARKS_HELP, reload_error_code, show_reload
from hostmanager.client.managers.multi_host import select_managers
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
    changes = show_reload(select_managers(site, args), args, output)
    code = FAILED if any(changes.changes.values()) else OK
    code = max(code, reload_error_code(changes))
    return output.emit_json(code, site_file=site.path, hosts=changes.as_json())
