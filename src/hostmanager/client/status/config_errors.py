"""What is wrong with the site config, each error said once, wherever it stands.

That is in what a manager says of the file as it has read it; else in the row of the entry that
is broken; else, if it is about no single entry, with the host.
"""

import re

from hostmanager.client.site_model import SiteEntry, SiteHost
from hostmanager.siteconfig.diagnostics import Diagnostic
from hostmanager.util.text import join_sentences

_PARTLY = re.compile(r"\d+ instances?, \d+ errors?(, \d+ warnings?)?: ")
"""What our manager says before the errors in a file that it could use in part."""


def manager_error(source: str, text: str) -> str:
    """What a manager says of a file: one broken entry costs no more than that entry."""
    file = "the site config" if source == "[SCF]" else source
    partly = _PARTLY.match(text)
    if partly is None:
        return f"its manager cannot use {file}: {text}"
    return f"its manager cannot use all of {file}: {text[partly.end() :]}"


def host_errors(host: SiteHost, said: str = "") -> tuple[str, ...]:
    """What is wrong with its block in the site config.

    What its manager has said already is left out, and what stands in the row of an instance.
    """
    errors = [p for p in host.problems if p.is_error and p.instance_id not in host.entries]
    return tuple(str(problem) for problem in errors if not _is_in(problem, said))


def entry_error(host: SiteHost, entry: SiteEntry, *, said: str) -> str:
    """What is wrong with an entry, but for what its manager has said of it."""
    problems = [p for p in host.problems if p.is_error and p.instance_id == entry.instance_id]
    left = [str(problem) for problem in problems if not _is_in(problem, said)]
    text = "its entry in the site config cannot be used"
    return ": ".join((text, join_sentences(left))) if left else text


def _is_in(problem: Diagnostic, said: str) -> bool:
    """Whether it has been said: on another host, the file may have another name."""
    return str(problem).removeprefix(problem.file) in said
