"""The settings of a log daemon, as its command line and in its lock file.

A plain class, since the modules that make dataclasses and command lines comfortable cost
more memory than all of the log daemon's own work.
"""

import os

from hostmanager.logd import VERSION

DEFAULT_MAX_BYTES = 10 * 1024 * 1024
DEFAULT_MAX_FILES = 5
_MIN_BYTES = 4096
_OPTIONS = {"--state", "--files", "--max-bytes", "--max-files"}


class Settings:
    """Where things are and how much is kept.

    Attributes:
        state: Directory of the pipes, the control pipe and the lock.
        files: Directory of the output files.
        max_bytes: No output file gets larger, bytes.
        max_files: How many old files are kept for each instance, at least 1.
    """

    __slots__ = ("files", "max_bytes", "max_files", "state")

    def __init__(
        self,
        state: str,
        files: str,
        max_bytes: int = DEFAULT_MAX_BYTES,
        max_files: int = DEFAULT_MAX_FILES,
    ) -> None:
        self.state = os.path.abspath(state)
        self.files = os.path.abspath(files)
        self.max_bytes = max(_MIN_BYTES, max_bytes)
        self.max_files = max(1, max_files)

    @classmethod
    def parse(cls, argv: list[str]) -> "Settings":
        """Read them from a command line.

        Raises:
            ValueError: An option is missing, unknown or no number.
        """
        options = dict(zip(argv[::2], argv[1::2], strict=False))
        if len(argv) % 2 or options.keys() - _OPTIONS or not {"--state", "--files"} <= set(options):
            raise ValueError(f"not understood: {' '.join(argv) or '(nothing)'}")
        return cls(
            options["--state"],
            options["--files"],
            int(options.get("--max-bytes", DEFAULT_MAX_BYTES)),
            int(options.get("--max-files", DEFAULT_MAX_FILES)),
        )

    def to_argv(self) -> list[str]:
        """The command line that `parse` reads."""
        numbers = ["--max-bytes", str(self.max_bytes), "--max-files", str(self.max_files)]
        return ["--state", self.state, "--files", self.files, *numbers]

    def signature(self) -> str:
        """One line for the lock file: a log daemon with another one must be replaced.

        Its state directory may have been renamed since it started.
        """
        numbers = f"{VERSION} {self.max_bytes} {self.max_files}"
        return f"{numbers} {self.files} {self.state}".replace("\n", "?")
