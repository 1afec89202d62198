"""What a command line names: folders, patterns, addresses, standard input."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from airsift.batch.recordings import Item, find_recordings


def found(*names: str | Path) -> tuple[list[Item], list[tuple[str, bool]]]:
    problems: list[tuple[str, bool]] = []
    items = list(find_recordings([*map(str, names)], lambda *problem: problems.append(problem)))
    return items, problems


@pytest.fixture
def shows(tmp_path: Path) -> Path:
    """Make a folder with recordings, and other files."""
    for name in ("a.mp3", "2026/b.mp3", "2026/may/c [1].wav", "2026/may/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_a_folder_keeps_its_tree(shows: Path) -> None:
    items, problems = found(shows)
    assert [item.below for item in items] == ["a.mp3", "2026/b.mp3", "2026/may/c [1].wav"]
    assert [item.name for item in items] == [str(shows / item.below) for item in items]
    assert problems == []


@pytest.mark.parametrize(
    ("pattern", "below"),
    [
        ("*.mp3", ["a.mp3"]),
        ("**/*.mp3", ["2026/b.mp3", "a.mp3"]),
        ("2026/*", ["b.mp3", "may/c [1].wav"]),
        ("2026/**/*.[mw]*", ["b.mp3", "may/c [1].wav"]),
        ("202?", ["2026/b.mp3", "2026/may/c [1].wav"]),
    ],
)
def test_a_pattern_that_no_shell_has_expanded(shows: Path, pattern: str, below: list[str]) -> None:
    items, problems = found(shows / pattern)
    assert [item.below for item in items] == below
    assert problems == []


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(shows: Path) -> None:
    (item,), _ = found(shows / "2026/may/c [1].wav")
    assert item.below == "c [1].wav"


def test_a_pattern_that_matches_nothing_is_a_failure(shows: Path) -> None:
    items, ((problem, is_failure),) = found(shows / "*.ogg")
    assert (items, is_failure) == ([], True)
    assert problem.startswith(f"{shows}/*.ogg: nothing matches this pattern")


def test_a_folder_without_audio_is_told_and_no_failure(shows: Path) -> None:
    (shows / "empty").mkdir()
    items, ((problem, is_failure),) = found(shows / "empty")
    assert (items, is_failure) == ([], False)
    assert "holds no audio files" in problem


@pytest.mark.parametrize(
    ("name", "below"),
    [
        ("https://example.org/shows/a.mp3?key=secret", "a.mp3"),
        ("https://example.org/", "example.org"),
        ("https://example.org/../..", "example.org"),
        ("-", "stdin"),
        ("none.mp3", "none.mp3"),
    ],
)
def test_others_are_taken_as_they_are(name: str, below: str) -> None:
    assert found(name) == ([Item(name, below)], [])


def test_no_folder_is_read_before_it_is_its_turn(shows: Path) -> None:
    names = [str(shows), str(shows / "later")]
    items = find_recordings(names, lambda *_: pytest.fail("a problem"))
    assert len(list(islice(items, 3))) == 3
    (shows / "later").mkdir()
    (shows / "later" / "d.mp3").write_bytes(b"")
    assert [item.below for item in items] == ["d.mp3"]
