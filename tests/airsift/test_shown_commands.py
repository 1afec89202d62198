"""Commands in the pages are read by the real command line, and those marked ``run`` are run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.command import airsift
from tests.shown import blocks, lines, parse

ROOT = Path(__file__).parents[2]
AUDIO = ROOT / "stream" / "demo" / "audio"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
# A word behind which a line goes on in another program, or in a file.
ENDS = {"|", ">", "&&", "2>"}
MARKED = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(
        re.findall(r"^<!-- run -->\n```sh\n(.*?)^```", page.read_text(), re.M | re.S)
    )
]


def own(words: list[str]) -> list[str]:
    """Return the words up to a pipe or a redirection."""
    end = next((i for i, word in enumerate(words) if word in ENDS), len(words))
    return words[:end]


def test_every_command_of_a_block_is_read() -> None:
    for page in PAGES:
        for block in blocks(page.read_text(), "sh"):
            for words in lines(block):
                if words[0] != "airsift" or "..." in words:
                    continue
                try:
                    parse(own(words))
                except Exception as error:
                    pytest.fail(f"{page.name}: {' '.join(words)}: {error!r}")


def test_a_block_of_commands_says_so() -> None:
    for page in PAGES:
        for block in re.findall(r"^```\n(.*?)^```", page.read_text(), re.M | re.S):
            assert not re.match(r"(airsift|make|pip install|curl) ", block), (page.name, block)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with the files that the blocks name, of the demo's audio."""
    shutil.copy(AUDIO / "reader-1098.opus", tmp_path / "talk.mp3")
    for folder, names in {"recordings": ("reader-1098", "reader-3664"),
                          "music": ("starfall",)}.items():  # fmt: skip
        (tmp_path / folder).mkdir()
        for name in names:
            shutil.copy(AUDIO / f"{name}.opus", tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("block", MARKED)
def test_a_block_that_is_marked_runs(block: str, files: Path) -> None:
    for words in lines(block):
        done = airsift(*own(words)[1:])
        assert done.returncode == 0, (words, done.stderr)
        if ">" in words:
            Path(words[words.index(">") + 1]).write_text(done.stdout)
            assert done.stdout, words


def test_there_are_marked_blocks() -> None:
    assert MARKED
