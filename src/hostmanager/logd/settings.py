"""What a scribe is told at its start, as words of a command line and of its lock file.

A plain class, since the modules that make dataclasses and command lines comfortable cost
more memory than all of the scribe's own work.
"""

import os

from hostmanager.logd import VERSION

MAX_BYTES = 10 * 1024 * 1024
MAX_FILES = 5
LEAST_BYTES = 4096


class Settings:
    """Where things are and how much may be kept.

    Attributes:
        state: Folder of the pipes, the control pipe and the lock.
        files: Folder of the output files.
        max_bytes: No output file gets larger, bytes.
        max_files: So many old ones are kept for each instance, at least 1.
    """

    __slots__ = ("files", "max_bytes", "max_files", "state")

    def __init__(
        self, state: str, files: str, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES
    ) -> None:
        self.state = os.path.abspath(state)
        self.files = os.path.abspath(files)
        self.max_bytes = max(LEAST_BYTES, max_bytes)
        self.max_files = max(1, max_files)

    @classmethod
    def parse(cls, words: list[str]) -> "Settings":
        """Read them from a command line.

        Raises:
            ValueError: Something is missing, unknown or no number.
        """
        given = dict(zip(words[::2], words[1::2], strict=False))
        unknown = given.keys() - {"--state", "--files", "--max-bytes", "--max-files"}
        if len(words) % 2 or unknown or not {"--state", "--files"} <= given.keys():
            raise ValueError(f"not understood: {' '.join(words) or '(nothing)'}")
        return cls(
            given["--state"],
            given["--files"],
            int(given.get("--max-bytes", MAX_BYTES)),
            int(given.get("--max-files", MAX_FILES)),
        )

    def to_argv(self) -> list[str]:
        """The command line that `parse` reads."""
        numbers = ["--max-bytes", str(self.max_bytes), "--max-files", str(self.max_files)]
        return ["--state", self.state, "--files", self.files, *numbers]

    def signature(self) -> str:
        """One line for the lock file: a scribe that says another must be replaced.

        Its state folder may have been renamed since it started.
        """
        numbers = f"{VERSION} {self.max_bytes} {self.max_files}"
        return f"{numbers} {self.files} {self.state}".replace("\n", "?")
