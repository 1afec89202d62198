"""The laws of what `airsift plot` draws, and its label files."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import AirsiftError
from airsift.timeline import picture
from airsift.timeline.cells import Cells
from airsift.timeline.labels import agreement, read_labels
from airsift.timeline.recorder import Span, Timeline

SPANS = st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 20)), max_size=12)


@given(st.lists(st.integers(0, 40), max_size=8), st.integers(0, 30), st.sampled_from([2, 4, 8, 64]))
def test_cells_do_not_depend_on_how_the_values_are_cut(cuts, first, limit) -> None:
    values = np.random.default_rng(1).integers(-9, 9, (sum(cuts), 3)).astype(np.float32)
    whole, pieces = Cells(3, limit), Cells(3, limit)
    whole.add(first, values)
    at = 0
    for n in cuts:
        pieces.add(first + at, values[at : at + n])
        at += n
    assert (whole.width, whole.used) == (pieces.width, pieces.used)
    for name in ("low", "high", "count", "mean"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(pieces, name))
    for cell in range(whole.used):
        units = np.arange(len(values)) + first
        mine = values[units // whole.width == cell]
        assert whole.count[cell] == len(mine)
        if len(mine):
            np.testing.assert_array_equal(whole.low[cell], mine.min(0))
            np.testing.assert_array_equal(whole.high[cell], mine.max(0))
            np.testing.assert_allclose(whole.mean[cell], mine.mean(0), atol=1e-9)


def test_cells_stay_as_many_however_long_a_file_is() -> None:
    cells = Cells(1, 64)
    for day in range(7):
        cells.add(day * 86_400, np.ones((86_400, 1), np.float32))
    assert len(cells.low) == 64
    assert 32 < cells.used <= 64
    assert cells.count.sum() == 7 * 86_400


@given(SPANS)
def test_songs_of_one_lane_never_meet_and_lanes_are_as_few_as_overlap(spans) -> None:
    spans = sorted((start, start + length) for start, length in spans)
    found = picture.lanes(spans)
    for n, (start, _) in enumerate(spans):
        assert all(
            end <= start
            for (_, end), lane in zip(spans[:n], found[:n], strict=True)
            if lane == found[n]
        )
    deepest = max((sum(a <= s < b for a, b in spans) for s, _ in spans), default=0)
    assert len(set(found)) <= max(deepest, len(spans) and 1)


@given(st.floats(0.5, 1e6))
def test_ticks_are_few_and_in_the_file(length_s) -> None:
    ticks = picture.ticks_of(0.0, length_s)
    assert 1 < len(ticks) <= picture.MAX_TICKS
    assert ticks[0] == 0
    assert ticks[-1] <= length_s
    assert len(set(np.round(np.diff(ticks), 6))) == 1


def test_agreement_is_that_worked_out_by_hand() -> None:
    truth = [Span(0, 10, "speech"), Span(10, 20, "music"), Span(30, 40, "other")]
    found = [
        Span(0, 12, "speech"), Span(12, 20, "speech_over_music"), Span(20, 30, "music"),
        Span(30, 35, "other"),
    ]  # fmt: skip
    # Right: 0 to 10 and 30 to 35. From 20 to 30 truth says nothing.
    assert agreement(truth, found) == (15, 30)
    assert agreement(truth, truth) == (30, 30)
    # Two spans at once are speech over music.
    both = [Span(0, 10, "speech"), Span(5, 10, "music")]
    assert agreement(both, [Span(0, 5, "speech"), Span(5, 10, "speech_over_music")]) == (10, 10)
    assert agreement([Span(0, 9, "song", "A")], found) == (0, 0)


FORMS = {
    "a.txt": "0.5\t2\tspeech\n\\\t100\t200\n2\t4\tmusic: Abel - Cain\n4\t5\tspeech over music\n",
    "a.csv": "start_s,end_s,label,name\n.5,2,Speech,\n"
    "2,4,music,Abel - Cain\n4,5,speech_over_music,\n",
    "a.jsonl": '{"schema":"airsift.segment/1","start_s":0.5,"end_s":2,"label":"speech"}\n'
    '{"schema":"airsift.segment/1","start_s":2,"end_s":4,"label":"music"}\n'
    '{"schema":"airsift.match/1","start_s":2,"end_s":4,"track":"t","title":"Cain","artist":"Abel"}\n'
    '{"schema":"airsift.gap/1","start_s":4,"end_s":4.1,"reason":"missing"}\n'
    '{"schema":"airsift.segment/1","start_s":4,"end_s":5,"label":"speech_over_music"}\n',
}


@pytest.mark.parametrize("name", FORMS)
def test_three_forms_of_labels_say_the_same(name, tmp_path) -> None:
    path = tmp_path / name
    path.write_text("\ufeff" + FORMS[name] if name == "a.csv" else FORMS[name])
    found = read_labels(path)
    assert sorted(found, key=dataclasses.astuple) == [
        Span(0.5, 2, "speech"), Span(2, 4, "music"), Span(2, 4, "song", "Abel - Cain"),
        Span(4, 5, "speech_over_music"),
    ]  # fmt: skip


def test_a_song_goes_on_when_speech_over_it_ends(tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(
        "0\t3\tspeech over music: A\n3\t9\tmusic: A\n9\t12\tmusic: B\n20\t22\tmusic: A\n"
    )
    songs = [span for span in read_labels(path) if span.label == "song"]
    assert songs == [Span(0, 9, "song", "A"), Span(9, 12, "song", "B"), Span(20, 22, "song", "A")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "1\t2\n", "line 1: '1\\t2' is not start TAB end TAB label"),
        ("a.txt", "0\t1\tspeech\n2\t1\tmusic\n", "line 2: start=2 must lie before end=1"),
        ("a.txt", "0\tx\tspeech\n", "line 1: end='x' is no time"),
        ("a.txt", "-1\t2\tspeech\n", "line 1: start='-1' is no time"),
        ("a.txt", "0\tnan\tspeech\n", "line 1: end='nan' is no time"),
        ("a.txt", "0\t1\tapplause\n", "label='applause' is unknown: use one of speech, music"),
        ("a.txt", "\n", "has no labels"),
        ("a.csv", "begin,end,label\n", "has no column start_s: the first line must name"),
        ("a.csv", "start_s,end_s,label\n1,2\n", "line 2: label='' is unknown"),
        ("a.jsonl", "[1]\n", "line 1: '[1]' is no event of `airsift segment`"),
        ("a.jsonl", '{"schema":"airsift.segment/1"}\n', "is no event of `airsift segment`"),
        ("none.txt", None, "No such file or directory; check the path of the labels"),
    ],
)
def test_a_wrong_label_is_one_line(name, text, message, tmp_path) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(AirsiftError) as error:
        read_labels(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_bytes_are_no_labels(tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AirsiftError, match="is no text in UTF-8"):
        read_labels(path)


def made(length_s: float = 60.0, songs: list[Span] | None = None) -> Timeline:
    """Return a timeline of a tone in noise."""
    random = np.random.default_rng(1)
    wave, columns, posteriors = Cells(1), Cells(144), Cells(2)
    wave.add(0, random.uniform(-0.5, 0.5, (3000, 1)).astype(np.float32))
    columns.add(0, random.uniform(0, 1, (3000, 144)).astype(np.float32))
    posteriors.add(0, random.uniform(0, 1, (3000, 2)).astype(np.float32))
    unit_s = length_s / 3000
    segments = [Span(0, length_s / 2, "speech"), Span(length_s / 2, length_s, "speech_over_music")]
    return Timeline(
        "a & <b>.mp3", length_s, wave, columns, posteriors, unit_s, unit_s, unit_s, 80.0, 24,
        segments,
        songs or [], [],
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("length_s", [0.6, 80.0, 3000.0, 90_000.0])
def test_a_picture_of_any_length_has_every_row_and_name(length_s, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    names = ["Abel - $5 & <more>", "Cain - Ünder", "a very long name " * 9]
    songs = [Span(n * length_s / 4, (n + 1) * length_s / 4, "song", names[n]) for n in range(3)]
    truth = [Span(0, length_s, "speech"), songs[0]]
    image = tmp_path / "it.svg"
    picture.draw(made(length_s, songs), truth, image)
    drawn = image.read_text()
    ET.fromstring(drawn)  # our own
    comments = [part.partition("-->")[0].strip() for part in drawn.split("<!--")[1:]]
    for word in ("waveform", "CQT", "posterior", "truth", "airsift", "songs", "songs, truth"):
        assert word in comments
    assert "P(speech)" in comments
    assert sum("Cain" in each for each in comments) == 1
    again = tmp_path / "again.svg"
    picture.draw(made(length_s, songs), truth, again)
    assert again.read_bytes() == image.read_bytes()


@pytest.mark.slow
def test_names_of_songs_do_not_meet(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    songs = [Span(n * 10, n * 10 + 5, "song", f"an artist of fame - song {n}") for n in range(300)]
    timeline = made(3000, songs)
    (row,) = (row for row in picture._label_rows(timeline, []) if row.name == "songs")
    width_pt = 72 * 10.85
    last: dict[int, float] = {}
    for lane, span, at_s, text in sorted(row.bars, key=lambda bar: bar[2]):
        assert at_s >= last.get(lane, 0.0)
        end_s = at_s + picture._text_width(text) * 3000 / width_pt
        last[lane] = max(end_s, span.end_s)
        assert end_s <= 3000
