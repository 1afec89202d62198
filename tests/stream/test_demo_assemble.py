from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from airsift.errors import ConfigError
from model.corpus.sources import DEMO_SPEAKERS
from model.corpus.splits import load_splits
from stream.demo.clips import FOLDER, RATE, Part, parts
from stream.demo.programme import Item, Stretch, assemble, programmes, truth


@pytest.fixture(scope="module", params=programmes())
def programme(request):
    return assemble(request.param)


def power_db(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-12)


def at(programme, start, end):
    return programme.samples[start * RATE // 1000 : end * RATE // 1000]


@pytest.mark.slow
def test_the_truth_covers_the_programme_without_holes(programme):
    stretches = programme.stretches
    assert stretches[0].start == 0
    assert stretches[-1].end == len(programme.samples) * 1000 // RATE
    for before, after in pairwise(stretches):
        assert before.end == after.start
        assert before.label != after.label


@pytest.mark.slow
def test_it_holds_what_radio_holds(programme):
    assert {s.label for s in programme.stretches} == {
        "speech", "music", "speech_over_music", "other",
    }  # fmt: skip
    assert any(before.end > after.start for before, after in pairwise(programme.plays))


@pytest.mark.slow
def test_one_of_the_tracks_is_not_known():
    plays = [play for name in programmes() for play in assemble(name).plays]
    assert {play.known for play in plays} == {True, False}


@pytest.mark.slow
def test_it_is_loud_where_something_sounds_and_silent_elsewhere(programme):
    assert np.abs(programme.samples).max() <= 1.0
    for s in programme.stretches:
        if s.label != "other":
            assert -28 < power_db(at(programme, s.start, s.end)) < -10
    assert any(not at(programme, start, start + 5000).any() for start in range(0, 140_000, 500))


def test_music_under_speech_is_turned_down(monkeypatch):
    def speechless(part):
        return np.full(RATE * 60, 0.1 if part.kind == "music" else 0.0, np.float32)

    monkeypatch.setattr("stream.demo.programme.decode", speechless)
    under = assemble("north")
    start, end = next((s.start, s.end) for s in under.stretches if s.label == "speech_over_music")
    full = power_db(at(under, start - 4000, start - 400))
    assert power_db(at(under, start, end)) == pytest.approx(full - 10, abs=0.01)


@pytest.mark.slow
def test_it_is_the_same_every_time():
    assert np.array_equal(assemble("north").samples, assemble("north").samples)


def test_truth_is_what_sounds():
    #  speech        ████████
    #  music     ██████       ████
    #  noise                    ████
    def item(kind, start, end):
        part = Part("p", kind, "", "", "", "", "", 0.0, 60.0)
        return Item(part, start * RATE, end * RATE, 0, 1, 1, 0.0)

    items = [item("speech", 4, 12), item("music", 0, 6), item("music", 13, 17)]
    assert truth([*items, item("noise", 15, 19)], 20 * RATE) == (
        Stretch(0, 4000, "music"),
        Stretch(4000, 6000, "speech_over_music"),
        Stretch(6000, 12000, "speech"),
        Stretch(12000, 13000, "other"),
        Stretch(13000, 17000, "music"),
        Stretch(17000, 20000, "other"),
    )


def test_an_unknown_programme_is_refused_by_name():
    with pytest.raises(ConfigError, match="east: no such programme; there are north, south"):
        assemble("east")


def test_every_recording_is_attributed_and_all_are_small():
    words = (FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")
    files = {path.name for path in (FOLDER / "audio").iterdir()}
    assert files == {part.file.name for part in parts().values()}
    for part in parts().values():
        row = next(line for line in words.splitlines() if f"`{part.file.name}`" in line)
        assert part.licence.replace("-", " ").removesuffix(" 3.0").removesuffix(" 4.0") in (
            row.replace("-", " ")
        )
        package = "LibriSpeech" if part.source == "librispeech" else part.source
        assert package in row
    assert sum(part.file.stat().st_size for part in parts().values()) < 4e6


def test_nothing_the_demo_plays_was_trained_on():
    table = load_splits()
    for part in parts().values():
        if part.source == "librispeech":
            assert part.path.split("-")[0] in DEMO_SPEAKERS, part.name
        elif part.source in table:
            assert table[part.source] != "train", part.name
