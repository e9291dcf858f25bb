"""`hostmanager check`: everything about a site config that can be known before trying it."""

import argparse
import os
import socket
from collections.abc import Collection, Sequence
from pathlib import Path

from hostmanager.cli.check.render import (
    render_github,
    render_plain,
    render_terminal,
    report_as_json,
    summary_line,
)
from hostmanager.cli.check.report import Category, CheckReport
from hostmanager.cli.exit_codes import FAILED, OK, UNREACHABLE, USAGE, CommandError
from hostmanager.cli.options import ANSWER_TIMEOUT, add_site_options, seconds
from hostmanager.cli.output import Output, command
from hostmanager.siteconfig.checks.full_check import CheckedSite, check_site
from hostmanager.siteconfig.diagnostics import SiteFileError
from hostmanager.util.help_parser import HelpParser

DESCRIPTION = """\
Check a site config: everything that can be known before trying it. No agent is started, no
manager is called, nothing is changed.

The file: syntax, values, types, keys that look mistyped or stand twice, ids that are used
twice anywhere in the site, addresses, arguments that YAML changes (0017 is 15). With what is
installed here: whether a plugin provides each class, and the agent's own parser accepts its
arguments (in a separate process, without starting the agent). Managers: their own arguments.
Compose files: whether they are valid, and have a service for each agent with 'manage: docker'.
On the host itself: directories and binaries. The router: whether it answers, and has the
realm; a procedure of a random name is registered below the address root for a moment, and
called through the HTTP bridge, as agents and clients do. The rules of the alarm service, if there
is an alerts.yaml beside the site config."""

EPILOG = """\
what is checked where:
  This machine is the host that --site-host names, else the one with its host name, else
  'localhost'. What is missing on it is an error. Of other hosts, only what is visible from
  here is checked; what could not be checked is listed at the end. With --elsewhere this
  machine is none of them: for CI, and for a desk.

output:
  On a terminal each result with its line; elsewhere `file:line:column: error: text`, which
  editors understand; --github for annotations of a pull request; --json for programs.

exit status:
  0    no errors (with --strict: no warnings either)
  1    something is wrong; the messages say what and where
  2    the command line is invalid, or a file cannot be read
  3    the router does not answer, and nothing else is wrong
  130  interrupted (Ctrl-C)

examples:
  hostmanager check
      the site config that $OCS_CONFIG_DIR names
  hostmanager check --syntax site.yaml
      the file only, in a fifth of a second: for editors
  hostmanager check --offline --elsewhere --strict --github site.yaml
      in the CI of a site's configuration
  hostmanager check --host daq1 --docker-compose daq1=compose/daq1.yaml
      one host, with compose files that are elsewhere there

as a hook of pre-commit (https://pre-commit.com), in .pre-commit-config.yaml:
  - repo: <this repository>
    rev: <a tag>
    hooks:
      - id: hostmanager-check
        files: ^site/default\\.yaml$
        additional_dependencies: [socs]    # plugins whose classes are used
"""


def add_options(parser: HelpParser) -> None:
    """Add the options."""
    parser.add_argument(
        "file",
        nargs="*",
        metavar="SCF",
        help="site config files (default: the one that --site-file, --site or $OCS_CONFIG_DIR "
        "names)",
    )
    parser.add_argument("--strict", action="store_true", help="warnings count as errors")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON, for programs")
    form.add_argument(
        "--github", action="store_true", help="print annotations for GitHub's pull requests"
    )
    group = parser.add_argument_group("what to check")
    group.add_argument(
        "--host",
        action="append",
        metavar="HOST",
        help="only this host, or all that match a pattern; may be repeated",
    )
    group.add_argument(
        "--syntax",
        action="store_true",
        help="only the file itself: no plugins, compose files, directories or router",
    )
    group.add_argument("--offline", action="store_true", help="do not check the router")
    group.add_argument(
        "--elsewhere", action="store_true", help="this machine is none of the site's hosts"
    )
    group.add_argument(
        "--docker-compose",
        action="append",
        metavar="[HOST=]FILES",
        help="compose files of a host, separated by commas, instead of those in the arguments of "
        "its manager; may be repeated",
    )
    group.add_argument(
        "--docker-compose-bin",
        metavar="PATH",
        help="compose binary (default: the one that is found)",
    )
    group.add_argument(
        "--answer-time",
        type=seconds,
        default=ANSWER_TIMEOUT,
        metavar="SECONDS",
        help="how long to wait for the router (default: %(default)g)",
    )
    add_site_options(parser)


def check(args: argparse.Namespace, output: Output) -> int:
    """Check each file, and show the results."""
    reports = []
    for path in _paths(args):
        report = check_file(path, args)
        reports.append(report)
        if not args.json:
            _show(report, args, output)
    code = check_exit_code(reports, strict=args.strict)
    return output.emit_json(code, files=[report_as_json(report) for report in reports])


def check_exit_code(reports: Sequence[CheckReport], *, strict: bool) -> int:
    """The exit status for these reports."""
    if any(report.unreadable for report in reports):
        return USAGE
    # An unreachable router is an error of its own, and no reason to change the file.
    has_errors = any(
        result.diagnostic.is_error or strict
        for report in reports
        for result in report.results
        if not (report.router_unreachable and result.category is Category.ROUTER)
    )
    if has_errors:
        return FAILED
    return UNREACHABLE if any(report.router_unreachable for report in reports) else OK


def _paths(args: argparse.Namespace) -> list[Path]:
    if args.file:
        if args.site_file is not None or args.site is not None:
            raise CommandError("a file, and --site or --site-file: use one of them.")
        return [Path(os.path.normpath(name)) for name in dict.fromkeys(args.file)]
    from hostmanager.siteconfig.command_line import UsageError, resolve_site_file  # noqa: PLC0415

    try:
        return [resolve_site_file(args, os.environ)]
    except UsageError as error:
        text = str(error).replace("the manager cannot", "this command cannot")
        raise CommandError(text.replace("Use --site-file FILE", "Name a file")) from None


def check_file(path: Path, args: argparse.Namespace) -> CheckReport:
    """Check one file."""
    report = CheckReport(str(path))
    plugins = None
    if not args.syntax and path.is_file():
        from hostmanager.cli.check.agents import InstalledPlugins  # noqa: PLC0415 - not for --syntax

        plugins = InstalledPlugins(args.working_dir)  # slow: started while the file is read
    try:
        site = check_site(path, lambda hosts: _select_hosts(hosts, args))
        report.extend(Category.FILE, site.diagnostics)
        report.hosts = len(site.hosts)
        report.agents = sum(not instance.is_manager for instance in site.instances)
        if plugins is not None:
            from hostmanager.cli.check.runner import run_checks  # noqa: PLC0415

            run_checks(site, plugins, _local_host(site, args), args, report)
    except SiteFileError as error:
        report.unreadable = not (path.is_file() and os.access(path, os.R_OK))
        report.extend(Category.FILE, [(None, one) for one in error.diagnostics])
    finally:
        if plugins is not None:
            plugins.close()
    if (path.parent / "alerts.yaml").is_file():
        from hostmanager.cli.check.alarm_rules import check_alarm_rules  # noqa: PLC0415 - clients

        check_alarm_rules(path, report, only_syntax=args.syntax)
    report.sort()
    return report


def _select_hosts(hosts: Sequence[str], args: argparse.Namespace) -> Collection[str]:
    if not args.host:
        return hosts
    from hostmanager.client.status.selection import matches, suggestions  # noqa: PLC0415

    for word in args.host:
        if not any(matches(name, [word]) for name in hosts):
            raise CommandError(
                f"--host {word}: the site config has no such host.{suggestions(word, hosts)} "
                f"Its hosts are: {', '.join(hosts)}."
            )
    return [name for name in hosts if matches(name, args.host)]


def _local_host(site: CheckedSite, args: argparse.Namespace) -> str | None:
    """The host that this machine is, as OCS finds it; None if it is not one of those checked."""
    if args.elsewhere:
        return None
    for name in (args.site_host or socket.gethostname(), "localhost"):
        if name in site.nodes:
            return name if name in site.hosts else None
    return None


def _show(report: CheckReport, args: argparse.Namespace, output: Output) -> None:
    if args.github:
        render_github(report)
    elif output.is_terminal:
        render_terminal(report, output)
    else:
        render_plain(report)
    for text in report.skipped:
        output.warn(f"not checked: {text}.")
    for text in report.confirmed if output.is_terminal else ():
        output.line(f"{text}.", "dim")
    style = "bold red" if report.errors else "bold yellow" if report.warnings else "bold green"
    if output.is_terminal:
        output.line(summary_line(report), style)
    elif not args.github:
        output.warn(summary_line(report))


run = command(check)
