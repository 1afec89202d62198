"""Puts the manual pages that `make man` has written into the wheel and the sdist.

They are made of the help of the commands, which needs everything that airsift imports; a build that
has none of that, as pip's, leaves them out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualPages(BuildHookInterface):  # type: ignore[type-arg]
    """Adds ``dist/man/*.1``, where they are."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the pages to hatchling: data of the environment, or files of the sdist."""
        for page in sorted(Path(self.root, "dist", "man").glob("airsift*.1")):
            if self.target_name == "wheel":
                build_data["shared_data"][str(page)] = f"share/man/man1/{page.name}"
            else:
                build_data["force_include"][str(page)] = f"dist/man/{page.name}"
