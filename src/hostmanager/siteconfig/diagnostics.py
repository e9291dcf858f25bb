"""What is wrong with a site config, in words that help at three in the morning.

Every check of this package ends in a `Diagnostic`: the location, the thing, what is wrong and what
would be right. A `DiagnosticCollector` gathers them while a file is read; `SiteFileError` carries
them when the file cannot be used at all. A diagnostic is an *error* when something that the
file asks for cannot be done, and a *warning* when it can, but is probably not what was meant.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from hostmanager.util.text import summarize


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARNING = "warning"


class SourceLocation(Protocol):
    """Anything with a location in a file, counted from 1."""

    @property
    def line(self) -> int:
        """The line, from 1."""

    @property
    def column(self) -> int:
        """The column in characters, from 1."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that is wrong in a site config.

    Attributes:
        severity: Error or warning.
        message: What is wrong, as a sentence.
        hint: What would be right, as a sentence; may be empty.
        file: The file, as it was named by the caller.
        line: Line, from 1; None when there is no location.
        column: Column in characters, from 1; None when there is no location.
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
        labels = ("" if self.is_error else "warning", self.instance_id)
        head = ": ".join(part for part in (location, *labels) if part)
        text = " ".join(part for part in (self.message, self.hint) if part)
        return f"{head}: {text}" if head else text


class SiteFileError(Exception):
    """A site config that cannot be used. Its text is the diagnostics, one a line."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(str(diagnostic) for diagnostic in self.diagnostics))

    def summary(self) -> tuple[bool, str]:
        """Give what `config_parse_status` shows (contract, section 5): not ok, and why."""
        return False, summarize(
            diagnostic for diagnostic in self.diagnostics if diagnostic.is_error
        )


@dataclass(slots=True)
class DiagnosticCollector:
    """Gathers the diagnostics of one file while it is checked.

    Attributes:
        file: The file, as it is named in diagnostics.
        instance_id: Whose diagnostics these are, unless another one is given.
        diagnostics: What was found so far.
    """

    file: str
    instance_id: str | None = None
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def error(
        self,
        location: SourceLocation | None,
        message: str,
        hint: str = "",
        instance_id: str | None = None,
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Add something that cannot be done, or is bad otherwise."""
        line, column = (location.line, location.column) if location else (None, None)
        self.diagnostics.append(
            Diagnostic(
                severity, message, hint, self.file, line, column, instance_id or self.instance_id
            )
        )

    def warning(
        self,
        location: SourceLocation | None,
        message: str,
        hint: str = "",
        instance_id: str | None = None,
    ) -> None:
        """Add something that is probably not meant."""
        self.error(location, message, hint, instance_id, Severity.WARNING)

    def fatal(self, location: SourceLocation | None, message: str, hint: str = "") -> SiteFileError:
        """Add an error that ends the reading, and give the exception to raise."""
        self.error(location, message, hint)
        return SiteFileError(self.diagnostics)

    @property
    def has_errors(self) -> bool:
        """Whether anything so far is an error."""
        return any(diagnostic.is_error for diagnostic in self.diagnostics)
