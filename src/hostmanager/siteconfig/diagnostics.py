"""What is wrong with a site file, said so that it can be mended at three in the morning.

Every check in this room ends in a `Problem`: the place, the thing, what is wrong and what
would be right. A `Findings` collects them while a file is read, and `SiteFileError` carries
them when the file cannot be used at all. A problem is an *error* when something that the
file asks for cannot be done, and a *warning* when it can, but is probably not what was meant.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from hostmanager.util.text import summarize


class Severity(StrEnum):
    """How bad a problem is."""

    ERROR = "error"
    WARNING = "warning"


class SourceLocation(Protocol):
    """Anything with a place in a file, counted from 1."""

    @property
    def line(self) -> int:
        """The line, from 1."""

    @property
    def column(self) -> int:
        """The column in characters, from 1."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that is wrong in a site file.

    Attributes:
        severity: Error or warning.
        message: What is wrong, as a sentence.
        hint: What would be right, as a sentence; may be empty.
        file: The file, as it was named by the caller.
        line: Line, from 1; None when the problem has no place.
        column: Column in characters, from 1; None when the problem has no place.
        instance_id: The instance that it is about; None when it is about more than one.
    """

    severity: Severity
    message: str
    hint: str = ""
    file: str = ""
    line: int | None = None
    column: int | None = None
    instance_id: str | None = None

    @property
    def is_error(self) -> bool:
        """Whether something that the file asks for cannot be done."""
        return self.severity is Severity.ERROR

    def __str__(self) -> str:
        location = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        marks = ("" if self.is_error else "warning", self.instance_id)
        head = ": ".join(part for part in (location, *marks) if part)
        text = " ".join(part for part in (self.message, self.hint) if part)
        return f"{head}: {text}" if head else text


class SiteFileError(Exception):
    """A site file that cannot be used. Its text is the problems, one a line."""

    def __init__(self, problems: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.diagnostics))

    def summary(self) -> tuple[bool, str]:
        """Give what `config_parse_status` shows (contract, section 5): not ok, and why."""
        return False, summarize(problem for problem in self.diagnostics if problem.is_error)


@dataclass(slots=True)
class DiagnosticCollector:
    """The problems of one file, collected while it is checked."""

    file: str
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def error(
        self,
        location: SourceLocation | None,
        message: str,
        remedy: str = "",
        instance_id: str | None = None,
    ) -> None:
        """Note something that cannot be done."""
        self._add(Severity.ERROR, location, message, remedy, instance_id)

    def warning(
        self,
        location: SourceLocation | None,
        message: str,
        remedy: str = "",
        instance_id: str | None = None,
    ) -> None:
        """Note something that is probably not meant."""
        self._add(Severity.WARNING, location, message, remedy, instance_id)

    def fatal(
        self, location: SourceLocation | None, message: str, remedy: str = ""
    ) -> SiteFileError:
        """Note an error that ends the reading, and give the exception to raise."""
        self.error(location, message, remedy)
        return SiteFileError(self.diagnostics)

    @property
    def has_errors(self) -> bool:
        """Whether any problem so far is an error."""
        return any(problem.is_error for problem in self.diagnostics)

    def _add(
        self,
        severity: Severity,
        location: SourceLocation | None,
        message: str,
        remedy: str,
        instance_id: str | None,
    ) -> None:
        line, column = (location.line, location.column) if location else (None, None)
        self.diagnostics.append(
            Diagnostic(severity, message, remedy, self.file, line, column, instance_id)
        )
