"""The Python of README.md runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)


@pytest.mark.process
@pytest.mark.parametrize("block", BLOCKS)
def test_the_python_of_the_readme_finds_music(block: str) -> None:
    """The block prints the segments of a recording of music that ships with airsift."""
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=ROOT, capture_output=True, text=True, check=True
    )
    labels = {line.split()[2] for line in done.stdout.splitlines()}
    assert labels == {"music"}, done.stdout


def test_the_readme_shows_python() -> None:
    assert BLOCKS
