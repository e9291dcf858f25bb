"""Errors in the site config, each reported once, at the best place.

That is in what a manager reports of the file as it has read it; else with the agent whose entry
is broken; else, if it concerns no single entry, with the host.
"""

import re

from hostmanager.client.site_model import SiteEntry, SiteHost
from hostmanager.siteconfig.diagnostics import Diagnostic
from hostmanager.util.text import join_sentences

SITE_CONFIG_SOURCE = "[SCF]"
"""The site config among the files that a manager has read (contract, section 5)."""

_PARTLY = re.compile(r"\d+ instances?, \d+ errors?(, \d+ warnings?)?: ")
"""What our manager writes before the errors in a file that it could use in part."""


def manager_error(source: str, text: str) -> str:
    """Say what a manager reports of a file: one broken entry costs no more than that entry."""
    file = "the site config" if source == SITE_CONFIG_SOURCE else source
    partly = _PARTLY.match(text)
    if partly is None:
        return f"its manager cannot use {file}: {text}"
    return f"its manager cannot use all of {file}: {text[partly.end() :]}"


def manager_warning(source: str, text: str) -> str:
    """Say what a manager reports of a file that it uses; of the site config, the text names it."""
    return text if source == SITE_CONFIG_SOURCE else f"{source}: {text}"


def host_errors(host: SiteHost, known: str = "") -> tuple[str, ...]:
    """The errors in its block of the site config.

    Those that its manager has reported are left out, and those of single entries.
    """
    errors = [p for p in host.problems if p.is_error and p.instance_id not in host.entries]
    return tuple(str(error) for error in errors if not _is_in(error, known))


def entry_error(host: SiteHost, entry: SiteEntry, *, known: str) -> str:
    """The errors in an entry, except those that its manager has reported."""
    errors = [p for p in host.problems if p.is_error and p.instance_id == entry.instance_id]
    new = [str(error) for error in errors if not _is_in(error, known)]
    text = "its entry in the site config cannot be used"
    return ": ".join((text, join_sentences(new))) if new else text


def _is_in(error: Diagnostic, known: str) -> bool:
    """Whether an error was reported already: on another host, the file may have another name."""
    return str(error).removeprefix(error.file) in known
