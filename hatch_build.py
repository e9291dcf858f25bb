"""Adds the manual pages to a wheel: share/man/man1 of the environment that it is installed into."""

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManPages(BuildHookInterface):  # type: ignore[type-arg]
    """The build hook."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the pages, and name them as data of the wheel."""
        del version  # "standard" or "editable"
        root = Path(self.root)
        write_pages = runpy.run_path(str(root / "docs" / "man_pages.py"))["write_pages"]
        for page in write_pages(root / "build" / "man", self.metadata.version):
            build_data["shared_data"][str(page)] = f"share/man/man1/{page.name}"
