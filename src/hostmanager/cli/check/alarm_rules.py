"""Checks the rules of the alarm service beside the site config."""

from pathlib import Path

from hostmanager.alerts.rules_file import RULES_FILE, read_rules
from hostmanager.alerts.sender import check_urls
from hostmanager.cli.check.report import Category, CheckReport
from hostmanager.siteconfig.diagnostics import SiteFileError


def check_alarm_rules(site_file: Path, report: CheckReport, *, only_syntax: bool) -> None:
    """Check the rules; secrets that cannot be read here are no error: the service may.

    Args:
        site_file: The site config.
        report: Gets what is wrong.
        only_syntax: Whether apprise is not asked about the URLs.
    """
    path = site_file.parent / RULES_FILE
    unread: list[str] = []
    try:
        rules = read_rules(path, unread_secrets=unread)
    except SiteFileError as error:
        report.extend(Category.ALERTS, [(None, each) for each in error.diagnostics])
        return
    finally:
        report.skipped += [f"{path}: {each}" for each in unread]
    if only_syntax:
        return
    problems, unchecked = check_urls(rules)
    report.extend(Category.ALERTS, [(None, each) for each in problems])
    if unchecked:
        report.skipped.append(f"the URLs in {path}: {unchecked}")
