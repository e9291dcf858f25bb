"""The manager's own log file, in a directory that others may be allowed to write to."""

import logging
import os
from io import TextIOWrapper

from hostmanager.util.files import open_or_replace


class OwnFileHandler(logging.FileHandler):
    """Appends to a file of ours; what lies in its place and is not is moved aside."""

    def _open(self) -> TextIOWrapper:
        fd, _ = open_or_replace(self.baseFilename, os.O_WRONLY | os.O_APPEND, 0o644)
        return os.fdopen(fd, "a", encoding="utf-8", errors="backslashreplace")
