"""What the documentation of the Python interface shows runs as it stands."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import airsift
from stream.sources.file import read_file
from tests.shown import blocks

ROOT = Path(__file__).parents[3]
AUDIO = ROOT / "stream" / "demo" / "audio"
NOTEBOOK = ROOT / "docs" / "examples" / "airsift.ipynb"
PAGE = blocks((ROOT / "docs" / "python.md").read_text(), "python")
PUBLIC = [name for name in airsift.__all__ if name not in ("__version__", "AirsiftError")]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_an_example_that_runs(name: str) -> None:
    value = getattr(airsift, name)
    module = importlib.import_module(value.__module__)
    found = doctest.DocTestFinder().find(value, name, module, globs={})
    examples = [test for test in found if test.examples]
    assert examples, f"{name} shows no example"
    for test in examples:
        result = doctest.DocTestRunner(verbose=False).run(test, out=sys.stderr.write)
        assert result.failed == 0, test.name


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_described_in_numpydocs_form(name: str) -> None:
    value = getattr(airsift, name)
    members = {
        f"{name}.{key}": member
        for key, member in vars(value).items()
        if not key.startswith("_") and callable(member)
    } if isinstance(value, type) else {}  # fmt: skip
    for title, member in {name: value, **members}.items():
        text = member.__doc__ or ""
        assert text.splitlines()[0].endswith((".", ":")), title
        signature = importlib.import_module("inspect").signature(member)
        for parameter in signature.parameters:
            if parameter not in ("self", "_"):
                assert re.search(rf"\b{parameter}\b", text), (title, parameter)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(PAGE)))
def test_the_page_about_python_runs(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(AUDIO / "reader-1098.opus", tmp_path / "talk.mp3")
    shutil.copy(AUDIO / "starfall.opus", tmp_path)
    samples = read_file(AUDIO / "reader-1098.opus")
    (tmp_path / "talk.raw").write_bytes((samples * 32_767).astype("<i2").tobytes())
    monkeypatch.chdir(tmp_path)
    exec(PAGE[number], {})


PROGRAM = """\
import numpy as np

import airsift


def music(path: str) -> list[airsift.Segment]:
    found: airsift.Segments = airsift.segment(path, catalogue=airsift.Catalogue("shelf"))
    for match in found.matches:
        title: str | None = match.title
        print(title, match.start_s + match.track_start_s)
    return [segment for segment in found if segment.label == "music"]


def live(chunks: list[np.ndarray]) -> float:
    def tell(segment: airsift.Segment) -> None:
        print(segment.voice)

    with airsift.Stream(16_000, on_segment=tell, config={"model.threads": 2}) as stream:
        for chunk in chunks:
            results: list[airsift.Segment | airsift.Match] = stream.push(chunk)
            print(results)
    windows: airsift.Windows = airsift.classify(chunks[0], 16_000)
    return windows[0].probabilities["speech"]
"""


@pytest.mark.long
@pytest.mark.process
def test_a_program_is_checked_with_the_types(tmp_path: Path) -> None:
    (tmp_path / "right.py").write_text(PROGRAM)
    (tmp_path / "wrong.py").write_text('import airsift\n\nairsift.segment("a", "b").nmae\n')
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "cache", "right.py", "wrong.py"],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    wrong = [line for line in done.stdout.splitlines() if "error" in line]
    assert len(wrong) == 3, done.stdout  # two and the sum
    assert all(line.startswith("wrong.py:3") for line in wrong[:2]), done.stdout


@pytest.mark.slow
@pytest.mark.process
def test_the_notebook_shows_what_it_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    shown = [shown_by(cell) for cell in notebook.cells]
    assert not re.search(r"/(home|work|root|tmp|Users)/", NOTEBOOK.read_text())
    client = nbclient.NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    assert [shown_by(cell) for cell in notebook.cells] == shown
    assert sum(map(bool, shown)) >= 7


def shown_by(cell: dict[str, object]) -> str:
    """Return a cell's outputs as text, without decimals, which differ between processors."""
    found = ""  # what is printed comes in pieces, by the clock
    for output in cell.get("outputs", ()):
        assert output["output_type"] in ("execute_result", "stream"), output
        found += output["text"] if "text" in output else output["data"]["text/plain"]
    return re.sub(r"\d\.\d+", "0", found)
