"""The Python that README.md and docs/fingerprint.md show runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from stream.demo.catalogue import build_catalogue
from stream.sources.file import read_file

ROOT = Path(__file__).parents[2]


def python_of(page: str) -> str:
    """Return the one block of Python of a page."""
    [block] = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)
    return block


@pytest.mark.process
def test_the_readme_prints_the_segments_of_music() -> None:
    program = python_of("README.md")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    labels = {line.split()[2] for line in done.stdout.splitlines()}
    assert labels == {"music"}, done.stdout


@pytest.mark.slow
def test_the_page_of_the_matcher_prints_the_track(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build_catalogue(tmp_path / "shelf")
    monkeypatch.chdir(tmp_path)
    samples = read_file(ROOT / "stream/demo/audio/starfall.opus")
    exec(python_of("docs/fingerprint.md"), {"samples": samples})
    assert capsys.readouterr().out.startswith("Starfall 0.")
