"""What a check has found: problems, each with what it is about, and what could not be checked."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from hostmanager.siteconfig.diagnostics import Diagnostic, Severity, SourceLocation


class Category(StrEnum):
    """What a problem is about."""

    FILE = "file"  # syntax, ids, words, keys
    CLASS = "class"
    ARGUMENTS = "arguments"
    MANAGER = "manager"  # its own arguments
    COMPOSE = "compose"
    DIRECTORY = "folder"
    ROUTER = "router"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A problem.

    Attributes:
        about: What it is about.
        diagnostic: The problem.
        host: The host that it is about; None: the whole site.
    """

    about: Category
    diagnostic: Diagnostic
    host: str | None = None


@dataclass(slots=True)
class CheckReport:
    """What was found about one site file.

    Attributes:
        file: The file.
        hosts: How many hosts were looked at.
        agents: How many usable entries they have, managers aside.
        results: What is wrong.
        skipped: What could not be checked, and why, as sentences.
        confirmed: What was seen to be right, as sentences.
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

    def add(
        self,
        about: Category,
        severity: Severity,
        location: SourceLocation | None,
        message: str,
        hint: str = "",
        *,
        host: str | None = None,
        instance_id: str | None = None,
        file: str | None = None,
    ) -> None:
        """Note a problem; `file` if it is not the site file that is to be mended."""
        line, column = (location.line, location.column) if location else (None, None)
        where = self.file if file is None else file
        problem = Diagnostic(severity, message, hint, where, line, column, instance_id)
        self.results.append(CheckResult(about, problem, host))

    def extend(self, about: Category, problems: Iterable[tuple[str | None, Diagnostic]]) -> None:
        """Note problems that were found elsewhere."""
        self.results += [CheckResult(about, problem, host) for host, problem in problems]

    def sort(self) -> None:
        """Put what was found in the order of the lines, the site file's own first."""

        def order(found: CheckResult) -> tuple[bool, str, int, int]:
            problem = found.diagnostic
            return problem.file != self.file, problem.file, problem.line or 0, problem.column or 0

        self.results.sort(key=order)

    @property
    def errors(self) -> int:
        """How many errors there are."""
        return sum(found.diagnostic.is_error for found in self.results)

    @property
    def warnings(self) -> int:
        """How many warnings there are."""
        return len(self.results) - self.errors
