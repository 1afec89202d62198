"""Each station of a list may have a catalogue of its own, or none."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from airsift.errors import CatalogueError
from fingerprint.matching.matcher import TrackMatch
from stream.audio import AudioChunk, EndOfStream
from stream.events import Decision, Match
from stream.sources.settings import HttpSettings
from stream.stages.identify import Identify
from stream.stages.matchers import Matchers
from stream.stages.smooth import Smooth
from stream.stations.catalogues import StationCatalogues
from stream.stations.entry import StationEntry, read_stations
from stream.testing import write_wav
from tests.command import airsift
from tests.fingerprint.music import compose
from tests.stream.doubles import SMOOTH
from tests.stream.sample_matcher import TIMES, S, SampleMatcher


class Named(SampleMatcher):
    """Knows the same track by another name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def match(self, landmarks):
        return [
            TrackMatch(self.name, "", "", m.query_start, m.query_end, m.track_start, m.score)
            for m in super().match(landmarks)
        ]


DEFAULT = Matchers(Named("default"))


class Lists:
    """A list of stations that changes, and how often each catalogue was opened."""

    def __init__(self, **catalogues: str | None) -> None:
        self.opened: list[str] = []
        self.entries: dict[str, StationEntry] = {}
        self.change(**catalogues)

    def change(self, **catalogues: str | None) -> None:
        self.entries = {
            name: StationEntry(name=name, source="x", catalogue=each)
            for name, each in catalogues.items()
        }

    def open(self, folder: str) -> Matchers:
        self.opened.append(folder)
        if folder == "broken":
            raise CatalogueError("broken: it is no catalogue")
        return Matchers(Named(folder))

    def choose(self, default: Matchers | None = DEFAULT) -> StationCatalogues:
        return StationCatalogues(default, lambda: self.entries, self.open)


def heard(identify: Identify, name: str, *, ends: bool = True) -> list[str]:
    """Return the tracks that are final in 24 s of music that the track is."""
    audio = np.arange(24 * S, dtype=np.float32) + 1
    smooth, out = Smooth(SMOOTH), []
    for second in range(20):
        decision = Decision(name, second * S, (second + 5) * S, S, None, 0.05, 0.95)
        start = 0 if second == 0 else decision.end - S
        chunk = AudioChunk(name, start, audio[start : decision.end], S)
        out += identify.push([chunk, *smooth.push([decision])])
    if ends:
        out += identify.push(smooth.push([EndOfStream(name, len(audio), S)]))
    return [item.track for item in out if isinstance(item, Match) and item.final]


def test_a_station_is_given_its_own_catalogue_the_default_or_none():
    lists = Lists(a="north", b="south", c=None, d="", e="north")
    identify = Identify(lists.choose(), TIMES)
    assert {name: heard(identify, name) for name in "abcdef"} == {
        "a": ["north"], "b": ["south"], "c": ["default"], "d": [], "e": ["north"],
        "f": ["default"],  # of no list
    }  # fmt: skip
    assert lists.opened == ["north", "south"]  # once for all that name it
    assert heard(Identify(lists.choose(None), TIMES), "c") == []


def test_a_catalogue_that_cannot_be_opened_is_one_line_and_the_others_are_named(caplog):
    lists = Lists(a="broken", b="broken", c="north")
    identify = Identify(lists.choose(), TIMES)
    with caplog.at_level(logging.WARNING):
        assert [heard(identify, name) for name in "abc"] == [[], [], ["north"]]
    assert [record.message for record in caplog.records] == [
        "music is not named: broken: it is no catalogue; mend it, and start again"
    ]


@pytest.mark.parametrize("after", [{}, {"a": "south"}, {"a": ""}, {"a": "broken"}])
def test_a_change_of_the_list_holds_from_the_next_break_on(after):
    """What ends a station that has left the list is asked of the catalogue that it had."""
    lists = Lists(a="north")
    identify = Identify(lists.choose(), TIMES)
    assert heard(identify, "a", ends=False) == []
    lists.change(**after)
    out = identify.push([EndOfStream("a", 24 * S, S)])
    assert [each.track for each in out if isinstance(each, Match)] == ["north"]
    expected = {"south": ["south"], "": [], "broken": []}
    assert heard(identify, "a") == expected.get(after.get("a"), ["default"])


@pytest.mark.parametrize(("catalogue", "goes_on"), [("north", True), ("", False)])
def test_a_restored_station_goes_on_with_its_catalogue(catalogue, goes_on):
    lists = Lists(a="north")
    identify = Identify(lists.choose(), TIMES)
    heard(identify, "a", ends=False)
    part = identify.snapshot(identify.sessions["a"])
    assert part is not None
    lists.change(a=catalogue)
    restored = Identify(lists.choose(), TIMES)
    restored.restore(restored.sessions["a"], part)
    out = restored.push([EndOfStream("a", 24 * S, S)])
    assert [each.track for each in out if isinstance(each, Match)] == ["north"] * goes_on


def test_a_folder_is_relative_to_the_list_and_must_be_there(tmp_path: Path):
    (tmp_path / "north").mkdir()
    path = tmp_path / "stations.toml"
    path.write_text(
        '[[stations]]\nname = "a"\nsource = "a.wav"\ncatalogue = "north"\n'
        '[[stations]]\nname = "b"\nsource = "b.wav"\ncatalogue = "gone"\n'
        '[[stations]]\nname = "c"\nsource = "c.wav"\ncatalogue = ""\n'
        '[[stations]]\nname = "d"\nsource = "d.wav"\ncatalogue = 5\n'
    )
    found = read_stations(path, HttpSettings.default())
    assert [(each.name, each.catalogue) for each in found.entries] == [
        ("a", str(tmp_path / "north")),
        ("c", ""),
    ]
    texts = [problem.text for problem in found.problems]
    assert "catalogue=gone: is no folder; make it with `airsift catalogue add`" in texts[0]
    assert "catalogue: Input should be a valid string" in texts[1]
    changed = found.entries[0].model_copy(update={"catalogue": "other"})
    assert changed.reception != found.entries[0].reception


@pytest.mark.slow
def test_run_names_the_same_song_by_the_catalogue_of_each_station(tmp_path: Path):
    song = compose(40, 30.0)
    write_wav(tmp_path / "song.wav", song, S)
    lines = []
    for name in ("north", "south"):
        folder = tmp_path / f"{name} tracks"
        folder.mkdir()
        write_wav(folder / f"hymn of the {name}.wav", song, S)
        done = airsift("catalogue", "add", folder, "--jobs", "1", "--catalogue", tmp_path / name)
        assert done.returncode == 0, done.stderr
        lines.append(f'[[stations]]\nname = "{name}"\nsource = "song.wav"\ncatalogue = "{name}"\n')
    lines.append('[[stations]]\nname = "none"\nsource = "song.wav"\ncatalogue = ""\n')
    (tmp_path / "stations.toml").write_text("".join(lines))
    out = tmp_path / "out.jsonl"
    done = airsift("run", "--stations", tmp_path / "stations.toml", "--sink", f"jsonl:{out}")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in out.read_text().splitlines()]
    assert {e["station"] for e in events} == {"north", "south", "none"}
    titles = {e["station"]: e["title"] for e in events if e["schema"].startswith("airsift.match")}
    assert titles == {"north": "hymn of the north", "south": "hymn of the south"}
