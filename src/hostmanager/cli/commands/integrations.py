"""`hostmanager integrations`: files for Prometheus, Grafana and InfluxDB."""

import argparse
import sys
from pathlib import Path

from hostmanager.cli.exit_codes import FAILED, CommandError
from hostmanager.cli.output import Output, command
from hostmanager.integrations import INTEGRATIONS, Integration
from hostmanager.util.files import replace_file
from hostmanager.util.help_parser import HelpParser

DESCRIPTION = """\
Print alert rules and dashboards for the metrics of the managers (docs/metrics.md), or write them
to a file. Without a NAME: what there is.

Managers serve metrics for Prometheus with --metrics; their OCS feed goes to InfluxDB by OCS's
InfluxDBAgent, and needs no option."""

EPILOG = """\
exit status:
  0  done
  1  the file exists already, with another text (--force replaces it), or cannot be written
  2  usage error

examples:
  hostmanager integrations
  hostmanager integrations prometheus --output /etc/prometheus/
  hostmanager integrations grafana > dashboard.json     in Grafana: Dashboards, New, Import
"""


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    parser.add_argument(
        "name", nargs="?", metavar="NAME", choices=list(INTEGRATIONS), help=", ".join(INTEGRATIONS)
    )
    parser.add_argument(
        "--output", "-o", metavar="PATH", help="write to this file, or into this directory"
    )
    parser.add_argument("--force", action="store_true", help="replace a file that differs")


@command
def run(args: argparse.Namespace, output: Output) -> int:
    """Print or write a file, or list what there is."""
    if args.name is None:
        if args.output is not None:
            raise CommandError(f"--output needs a NAME: {', '.join(INTEGRATIONS)}.")
        for name, integration in INTEGRATIONS.items():
            output.line(f"{name:18}{integration.help}")
        return 0
    integration = INTEGRATIONS[args.name]
    if args.output is None:
        sys.stdout.write(integration.read())
        return 0
    path = _write(integration, Path(args.output), force=args.force)
    output.line(f"{path} written: {integration.help}.")
    return 0


def _write(integration: Integration, path: Path, *, force: bool) -> Path:
    try:
        if path.is_dir():
            path /= integration.file
        if path.exists():
            _refuse_other(path, integration.read(), force)
        replace_file(str(path), integration.read().encode(), 0o644)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.", FAILED) from None
    return path


def _refuse_other(path: Path, text: str, force: bool) -> None:
    if not path.is_file():
        raise CommandError(f"{path} is not a file; without --output, the text is printed.", FAILED)
    if not force and path.read_text("utf-8", "replace") != text:
        raise CommandError(
            f"{path} exists already, and differs; --force replaces it, another --output leaves "
            "it as it is.",
            FAILED,
        )
