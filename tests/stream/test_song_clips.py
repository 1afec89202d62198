"""The sound of songs, as proof of a play."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airsift import config
from airsift.connect import open_clips
from stream.clips.recorder import ClipRecorder
from stream.clips.settings import SongClipSettings
from stream.clips.songs import SongClips, song_clip_of
from stream.events import Match
from stream.pipeline import Pipeline
from stream.stations.entry import StationEntry
from tests.stream.clips import RATE, audio, seconds
from tests.stream.doubles import SMOOTH, LoudnessClassifier
from tests.stream.networks import FRONT_END


def match(start: int, end: int, track: str = "t", *, final: bool = False) -> Match:
    return Match("a", start * RATE, end * RATE, RATE, None, track, "Title", "Artist", 0, 9.0, final)


def path_of(folder: Path, found: Match) -> Path:
    return song_clip_of(folder, found.station, found.start, found.track)


def opened(folder: Path, length: float = 10.0, allowed: Sequence[str] = ("a",)) -> ClipRecorder:
    chosen = SongClipSettings.default(folder=str(folder), seconds=length)
    return ClipRecorder(SongClips(), chosen, RATE, lambda station: station in allowed)


def test_it_is_the_audio_in_which_the_song_was_found(tmp_path: Path) -> None:
    clips, found = opened(tmp_path), match(12, 29)
    for at in range(60):
        clips.on_items([audio(at)])
        if at == 32:  # it is published some seconds later, and again while it grows
            clips.on_batch([], [found])
        if at > 32:
            clips.on_batch([], [match(12, at - 3)])
    clips.on_batch([], [match(12, 57, final=True)])
    clips.close()
    assert seconds(path_of(tmp_path, found)) == list(range(19, 29))
    told = json.loads(path_of(tmp_path, found).with_suffix(".json").read_text())
    assert told == found.to_dict()
    assert len(list(tmp_path.rglob("*.*"))) == 2


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 12), st.integers(1, 12), st.integers(1, 15))
def test_nothing_from_before_or_behind_the_song_is_in_it(
    tmp_path_factory: pytest.TempPathFactory, start: int, length: int, kept: int
) -> None:
    folder = tmp_path_factory.mktemp("clips")
    clips, found = opened(folder, kept), match(start, start + length, final=True)
    clips.on_items([audio(at) for at in range(start + length + 1)])
    clips.on_batch([], [found])
    clips.close()
    last = start + length
    assert seconds(path_of(folder, found)) == list(range(max(start, last - kept), last))


def test_what_is_there_stays(tmp_path: Path) -> None:
    """A restart publishes the match once more, later: then it has other audio at hand."""
    for begin in (0, 20):
        clips = opened(tmp_path)
        clips.on_items([audio(begin + at) for at in range(20)])
        clips.on_batch([], [match(0, begin + 20)])
        clips.close()
    assert seconds(path_of(tmp_path, match(0, 1))) == list(range(10, 20))


def test_tracks_at_one_time_and_names_of_tracks_have_files_of_their_own(tmp_path: Path) -> None:
    clips = opened(tmp_path)
    clips.on_items([audio(at) for at in range(20)])
    found = [match(0, 19, track) for track in ("one", "../../x", "a\0b", "😀" * 60)]
    clips.on_batch([], found)
    clips.close()
    assert {path_of(tmp_path, each) for each in found} == set(tmp_path.glob("*/song-0-*.wav"))


@pytest.mark.parametrize("by_file", [False, True])
def test_nothing_is_kept_where_an_entry_forbids_it(tmp_path: Path, by_file: bool) -> None:
    listed = SimpleNamespace(entries={"b": StationEntry(name="b", source="kafka", clips=False)})
    stations = tmp_path / "stations.toml"
    stations.write_text('[[stations]]\nname = "b"\nsource = "kafka"\nclips = false\n')
    sets = [f"identify.clips.folder={tmp_path}"] + by_file * [f"alarms.stations={stations}"]
    chosen = config.load(sets=sets, environ={}).config
    pipeline = Pipeline(FRONT_END, LoudnessClassifier(), SMOOTH)
    [clips] = open_clips(chosen, pipeline, None if by_file else listed)  # type: ignore[arg-type]
    clips.on_items([replace(audio(at), station=name) for at in range(9) for name in "ab"])
    clips.on_batch([], [replace(match(0, 8), station=name) for name in "ab"])
    clips.close()
    assert list(tmp_path.glob("*/*.wav")) == [path_of(tmp_path, match(0, 1))]


def test_without_a_folder_nothing_is_kept() -> None:
    pipeline = Pipeline(FRONT_END, LoudnessClassifier(), SMOOTH)
    assert open_clips(config.load(environ={}).config, pipeline) == []
