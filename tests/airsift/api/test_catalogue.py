"""The catalogue of the Python interface."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import airsift
from stream.testing import music_like, noise, programme, write_wav
from tests import command

SONG = music_like(20, seed=3)


@pytest.fixture
def catalogue(tmp_path: Path) -> airsift.Catalogue:
    return airsift.Catalogue(tmp_path / "shelf", create=True)


def test_an_array_that_is_added_is_identified(catalogue: airsift.Catalogue) -> None:
    added = catalogue.add(SONG, 16_000, track="abel", title="Starfall", artist="Abel", isrc="X")
    assert added == airsift.Track("abel", "Starfall", "Abel", None, "X", None, 20.0)
    on_air = np.concatenate([programme(12, seed=9), SONG, noise(5, seed=4) * 0.1])
    for shelf in (catalogue, catalogue.folder, str(catalogue.folder)):
        found = airsift.segment(on_air, 16_000, catalogue=shelf)
        [match] = found.matches
        assert (match.track, match.title, match.artist, match.album) == (
            "abel", "Starfall", "Abel", None,
        )  # fmt: skip
        assert match.start_s - match.track_start_s == pytest.approx(12, abs=0.3)
        assert match.track_duration_s == 20.0
    heard: list[airsift.Match] = []
    with airsift.Stream(16_000, catalogue=catalogue, on_match=heard.append) as stream:
        for start in range(0, len(on_air), 16_000):
            stream.push(on_air[start : start + 16_000])
    assert heard == found.matches
    assert "plays Abel - Starfall" in repr(found)


def test_it_is_a_collection_of_tracks(catalogue: airsift.Catalogue) -> None:
    assert len(catalogue) == 0
    for number in range(3):
        catalogue.add(noise(5, seed=number), 16_000, track=str(number), title=f"No. {number}")
    assert [track.track for track in catalogue] == ["0", "1", "2"]
    assert "1" in catalogue
    assert "x" not in catalogue
    assert 1 not in catalogue
    assert catalogue["2"].title == "No. 2"
    with pytest.raises(KeyError, match="x"):
        catalogue["x"]
    renamed = catalogue.rename("2", title="Two", artist="Abel")
    assert renamed == catalogue["2"]
    assert (renamed.title, renamed.artist) == ("Two", "Abel")
    with pytest.raises(airsift.AirsiftError, match="x"):
        catalogue.rename("x", title="y")
    catalogue.remove("0", "2")
    assert len(catalogue) == 1
    with pytest.raises(airsift.AirsiftError, match="x"):
        catalogue.remove("x")
    assert repr(catalogue).endswith("of 1 tracks")
    assert len(pickle.loads(pickle.dumps(catalogue))) == 1


def test_a_file_says_its_names_and_is_not_added_twice(
    catalogue: airsift.Catalogue, tmp_path: Path
) -> None:
    path = write_wav(tmp_path / "The Tune.wav", SONG)
    added = catalogue.add(path)
    assert (added.title, added.artist, added.extra) == ("The Tune", None, {"file": "The Tune.wav"})
    assert catalogue.add(path, title="other") == added
    done = command.airsift("catalogue", "add", "--catalogue", catalogue.folder, path)
    assert "1 already there" in done.stdout
    assert len(catalogue) == 1
    again = catalogue.add(noise(5), 16_000, title="Hiss")
    assert catalogue.add(noise(5), 16_000) == again
    assert len(catalogue) == 2


def test_what_cannot_be_added(catalogue: airsift.Catalogue, tmp_path: Path) -> None:
    catalogue.add(SONG, 16_000, track="abel")
    for arguments, options, words in (
        ((noise(1), 16_000), {}, "3 s"),
        ((np.zeros(80_000), 16_000), {}, "silen"),
        ((noise(5), 16_000), {"track": "abel"}, "abel"),
        ((noise(5),), {}, "rate is missing"),
        ((tmp_path / "none.wav",), {}, "No such file"),
        ((tmp_path,), {}, "directory"),
        ((tmp_path / "none.wav", 16_000), {}, "rate=16000 is given"),
        (("https://user:secret@example.com/a.mp3",), {}, "download it"),
        ((noise(5), 16_000), {"extra": {"a": [1]}}, "extra"),
        ((noise(5), 16_000), {"title": "x" * 20_000}, "title"),
    ):
        with pytest.raises(airsift.AirsiftError, match=words) as error:
            catalogue.add(*arguments, **options)
        assert "\n" not in str(error.value)
        assert "secret" not in str(error.value)
    assert len(catalogue) == 1


def test_one_that_is_not_there_or_closed(tmp_path: Path) -> None:
    with pytest.raises(airsift.AirsiftError, match="create=True"):
        airsift.Catalogue(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with pytest.raises(airsift.AirsiftError, match="no catalogue here"):
        airsift.segment(SONG, 16_000, catalogue=tmp_path)
    with pytest.raises(airsift.AirsiftError, match="catalogue=3 must be"):
        airsift.segment(SONG, 16_000, catalogue=3)  # type: ignore[arg-type]
    with airsift.Catalogue(tmp_path / "new", create=True) as catalogue:
        pass
    catalogue.close()
    assert "closed" in repr(catalogue)
    for call in (lambda: len(catalogue), lambda: [*catalogue], lambda: catalogue.add(SONG, 16_000)):
        with pytest.raises(airsift.AirsiftError, match="closed"):
            call()


def test_another_catalogue_in_the_same_place_is_seen(tmp_path: Path) -> None:
    import shutil

    for title in ("First", "Second"):
        shutil.rmtree(tmp_path / "shelf", ignore_errors=True)
        (tmp_path / title).mkdir()  # so that inodes are not the same by chance
        with airsift.Catalogue(tmp_path / "shelf", create=True) as catalogue:
            catalogue.add(SONG, 16_000, title=title)
        [match] = airsift.segment(SONG, 16_000, catalogue=tmp_path / "shelf").matches
        assert match.title == title
