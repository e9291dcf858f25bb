"""The results of a check: diagnostics by category, and what could not be checked."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hostmanager.siteconfig.checks.full_check import CheckedEntry
from hostmanager.siteconfig.diagnostics import Diagnostic, Severity, SourceLocation


class Category(StrEnum):
    """The subject of a result."""

    FILE = "file"  # syntax, ids, values, keys
    CLASS = "class"
    ARGUMENTS = "arguments"
    MANAGER = "manager"  # its own arguments
    COMPOSE = "compose"
    DIRECTORY = "folder"
    ROUTER = "router"
    ALERTS = "alerts"  # the rules of the alarm service


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One thing that is wrong.

    Attributes:
        category: What it is about.
        diagnostic: What is wrong.
        host: The host that it is about; None: the whole site.
    """

    category: Category
    diagnostic: Diagnostic
    host: str | None = None


@dataclass(slots=True)
class CheckReport:
    """The results for one site config.

    Attributes:
        file: The file.
        hosts: How many hosts were checked.
        agents: How many usable entries they have, without managers.
        results: What is wrong.
        skipped: What could not be checked, and why, as sentences.
        confirmed: What was found to be right, as sentences.
        unreadable: Whether the file could not be read at all.
        router_unreachable: Whether the router does not answer at all.
    """

    file: str
    hosts: int = 0
    agents: int = 0
    results: list[CheckResult] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)
    unreadable: bool = False
    router_unreachable: bool = False

    def error(
        self,
        category: Category,
        location: SourceLocation | None,
        message: str,
        hint: str = "",
        *,
        agent: CheckedEntry | None = None,
        host: str | None = None,
        file: str | None = None,
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Add an error.

        Args:
            category: What it is about.
            location: Where it is.
            message: What is wrong.
            hint: What would be right.
            agent: The only agent that it is about.
            host: Its host, if it is not about one agent.
            file: The file, if it is not the site config.
            severity: How bad it is.
        """
        line, column = (location.line, location.column) if location else (None, None)
        name, host = (None, host) if agent is None else (agent.name, agent.host)
        diagnostic = Diagnostic(severity, message, hint, file or self.file, line, column, name)
        self.results.append(CheckResult(category, diagnostic, host))

    def warning(
        self, category: Category, location: SourceLocation | None, *text: str, **about: Any
    ) -> None:
        """Add a warning; see `error`."""
        self.error(category, location, *text, **about, severity=Severity.WARNING)

    def extend(
        self, category: Category, diagnostics: Iterable[tuple[str | None, Diagnostic]]
    ) -> None:
        """Add diagnostics, each with its host."""
        self.results += [CheckResult(category, one, host) for host, one in diagnostics]

    def sort(self) -> None:
        """Put the results in the order of the lines, those of the site config first."""

        def order(result: CheckResult) -> tuple[bool, str, int, int]:
            diagnostic = result.diagnostic
            return (
                diagnostic.file != self.file,
                diagnostic.file,
                diagnostic.line or 0,
                diagnostic.column or 0,
            )

        self.results.sort(key=order)

    @property
    def errors(self) -> int:
        """How many errors there are."""
        return sum(result.diagnostic.is_error for result in self.results)

    @property
    def warnings(self) -> int:
        """How many warnings there are."""
        return len(self.results) - self.errors
