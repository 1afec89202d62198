"""What is written in a format is read back by another library: same intervals, same texts."""

from __future__ import annotations

import html
import sys
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import airsift
from airsift.formats import FORMATS
from airsift.formats import cue as cue_sheets
from airsift.formats.rows import events_of
from airsift.formats.words import FormatError
from stream.events import Labelled
from stream.lines import one_line
from tests.airsift.formats import readers

LABELS = st.sampled_from(["speech", "music", "speech_over_music", "other"])
OWN_LABELS = st.sampled_from(["applause", "advert", "a <b> & é"])
ODD = st.sampled_from(
    ['a "quoted" name', "line\nbreak", "00:00:01.000 --> 00:00:02.000", "😀 👩‍👩‍👧", "\x00\x1b[31m",
     "<b>&amp;</b> ]]>", "NOTE", "\t", "{\\an8}up", "\ud800\udc80", "\ufffe", "=1+1", "مرحبا\u200f"]
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=12), ODD)
SCORES = st.floats(0, 1).map(lambda score: round(score, 3))
CONTROL = [chr(code) for code in range(32) if chr(code) not in "\t\n\r"]


@st.composite
def recordings(draw: st.DrawFn, max_segments: int = 6) -> airsift.Segments:
    """Draw a recording with gaps, labels and songs that may overlap, and odd names.

    Times are in milliseconds.
    """
    segments, end = [], 0
    for _ in range(draw(st.integers(0, max_segments))):
        start = end + draw(st.sampled_from([0, 0, 0, 1, 700]))
        end = start + draw(st.integers(1, 4_000_000))
        voice = draw(st.sampled_from([None, "female", "male"]))
        score = None if voice is None else 0.9
        segments.append(
            airsift.Segment(start / 1000, end / 1000, draw(LABELS), draw(SCORES), voice, score)
        )
    length = end + draw(st.integers(1, 5000))
    matches = []
    for number in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, length - 1))
        stop = draw(st.integers(start + 1, length))
        title, artist = draw(st.one_of(st.none(), TEXTS)), draw(st.one_of(st.none(), TEXTS))
        matches.append(
            airsift.Match(start / 1000, stop / 1000, f"track{number}", 9.5, 0.0, title, artist)
        )
    name = draw(st.one_of(st.just("talk.mp3"), TEXTS))
    matches.sort(key=lambda match: match.start_s)
    found = airsift.Segments(segments, name=name, duration_s=length / 1000, matches=matches)
    labels = []
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, length - 1))
        stop = draw(st.integers(start + 1, length))
        labels.append((start / 1000, stop / 1000, draw(OWN_LABELS)))
    return with_labels(found, *sorted(labels))


def with_labels(segments: airsift.Segments, *rows: readers.Row) -> airsift.Segments:
    """Return a recording with stretches of labels of your own, with a score of 0.9."""
    found = segments.copy()
    events = [
        Labelled("a", round(start * 16e3), round(end * 16e3), 16000, None, text, 0.9, True)
        for start, end, text in rows
    ]
    found.events = [*events_of(segments), *(event.to_dict() for event in events)] if rows else []
    return found


def labels_of(segments: airsift.Segments) -> list[readers.Row]:
    return [(each.start_s, each.end_s, each.label) for each in segments]


def own_labels_of(segments: airsift.Segments) -> list[readers.Row]:
    return sorted((each.start_s, each.end_s, each.label) for each in segments.labels)


def of_tiers(tiers: readers.Tiers, name: str) -> list[readers.Row]:
    """Return all rows with a text of ``name``, ``name 2`` and so on."""
    found = [rows for tier, rows in tiers.items() if tier == name or tier.startswith(f"{name} ")]
    return sorted(row for rows in found for row in rows if row[2])


def songs_of(segments: airsift.Segments) -> list[tuple[float, float]]:
    return sorted((each.start_s, each.end_s) for each in segments.matches)


def spans(rows: list[readers.Row]) -> list[tuple[float, float]]:
    return [(start, end) for start, end, _ in rows]


def filled(rows: list[readers.Row], end_s: float) -> list[readers.Row]:
    """Return what Praat shows of rows: intervals without a text fill the tier."""
    found, at = [], 0.0
    for start, end, text in rows:
        if start > at:
            found.append((at, start, ""))
        found.append((start, end, text))
        at = end
    return [*found, (at, end_s, "")] if at < end_s else found


PLAIN = airsift.Segments(
    [
        airsift.Segment(0.0, 12.5, "speech", 0.98, "female", 0.91),
        airsift.Segment(12.5, 100.25, "music", 0.9),
        airsift.Segment(101.0, 130.013, "speech_over_music", 0.7, "male", 0.8),
    ],
    name="talk.mp3",
    duration_s=131.0,
    matches=[
        airsift.Match(
            13.0, 60.0, "a", 9.5, 0.0, 'Star "fall" -->', "Abel & <b>", "Al", "USRC17607839"
        ),
        airsift.Match(55.0, 100.0, "b", 9.5, 0.0),
    ],
)
EXAMPLE = with_labels(PLAIN, (10.0, 20.5, "applause"), (20.0, 131.0, "advert"))
LAW = settings(max_examples=40, deadline=None)


@given(recordings())
@example(EXAMPLE)
@example(airsift.Segments(name="empty", duration_s=3.0))
@pytest.mark.slow
@LAW
def test_praat_and_textgrid_read_every_tier(segments: airsift.Segments) -> None:
    data = FORMATS["textgrid"].to_bytes(segments)
    with TemporaryDirectory() as folder:
        both = [
            readers.read_textgrid_with_praat(data, Path(folder)),
            readers.read_textgrid(data, Path(folder)),
        ]
    for tiers in both:
        assert tiers["label"] == filled(labels_of(segments), segments.duration_s)
        voices = [(each.start_s, each.end_s, each.voice) for each in segments if each.voice]
        if voices:
            assert tiers["voice"] == filled(voices, segments.duration_s)
        assert of_tiers(tiers, "own label") == own_labels_of(segments)
        songs = [
            row
            for name, rows in tiers.items()
            if name.startswith("music")
            for row in rows
            if row[2] or row[:2] in songs_of(segments)
        ]
        assert set(songs_of(segments)) <= set(spans(songs))


@given(recordings())
@example(EXAMPLE)
@example(airsift.Segments(name="empty", duration_s=3.0))
@LAW
def test_pympi_reads_every_tier(segments: airsift.Segments) -> None:
    with TemporaryDirectory() as folder:
        tiers = readers.read_elan(FORMATS["elan"].to_bytes(segments), Path(folder))
    assert tiers["label"] == labels_of(segments)
    voices = [(each.start_s, each.end_s, each.voice) for each in segments if each.voice]
    assert tiers.get("voice", []) == voices
    assert of_tiers(tiers, "own label") == own_labels_of(segments)
    music = [rows for name, rows in tiers.items() if name.startswith("music")]
    assert sorted(row[:2] for rows in music for row in rows) == songs_of(segments)
    for rows in tiers.values():
        assert all(end <= start for (_, end, _), (start, _, _) in pairwise(rows))


@given(recordings())
@example(EXAMPLE)
@pytest.mark.slow
@LAW
def test_pandas_reads_rttm(segments: airsift.Segments) -> None:
    assert readers.read_rttm(FORMATS["rttm"].to_bytes(segments)) == labels_of(segments)


@given(recordings())
@example(EXAMPLE)
@LAW
def test_srt_and_pysubs2_read_subtitles(segments: airsift.Segments) -> None:
    data = FORMATS["srt"].to_bytes(segments)
    for rows in (readers.read_srt(data), readers.read_with_pysubs2(data, "srt")):
        check_cues(rows, segments)
    assert FORMATS["vtt"].to_bytes(segments).startswith(b"WEBVTT\n")
    if any("-->" in f"{each.title} {each.artist}" for each in segments.matches):
        return  # pysubs2 takes any two times in a line for those of a cue
    web = readers.read_with_pysubs2(FORMATS["vtt"].to_bytes(segments), "vtt")
    if not segments.labels:
        assert spans(web) == spans(labels_of(segments))
    check_cues(web, segments)


def check_cues(rows: list[readers.Row], segments: airsift.Segments) -> None:
    """Check that each moment of a recording shows what lies there, and only that."""
    assert all(end <= start for (_, end, _), (start, _, _) in pairwise(rows))
    edges = {edge for row in [*labels_of(segments), *own_labels_of(segments)] for edge in row[:2]}
    for start, end in pairwise(sorted(edges)):
        [text] = [text for first, last, text in rows if first <= start and end <= last] or [""]
        lines = text.splitlines()
        here = [each for each in segments if each.start_s <= start and end <= each.end_s]
        own = [each for each in segments.labels if each.start_s <= start and end <= each.end_s]
        assert len({each.label for each in own}) == sum(map(is_own_label, lines))
        assert bool(lines) == bool(here or own)
        if here:
            assert lines[0].startswith(here[0].label)
    assert edges >= {edge for row in rows for edge in row[:2]}


def is_own_label(line: str) -> bool:
    text = html.unescape(line)  # pysubs2 leaves that of WebVTT as it is
    return text in ("applause", "advert") or (text.startswith("a ") and text.endswith("& é"))


@given(recordings())
@example(EXAMPLE)
@LAW
def test_labels_of_audacity(segments: airsift.Segments) -> None:
    rows = readers.read_audacity(FORMATS["audacity"].to_bytes(segments))
    n = len(segments)
    own = own_labels_of(segments)
    assert spans(rows[:n]) == spans(labels_of(segments))
    assert sorted(rows[n : n + len(own)]) == own
    assert sorted(spans(rows[n + len(own) :])) == songs_of(segments)


@given(recordings(max_segments=3))
@example(EXAMPLE)
@example(airsift.Segments(name="empty"))
@pytest.mark.slow
@settings(max_examples=15, deadline=None)
def test_jams_is_valid_and_read(segments: airsift.Segments) -> None:
    tiers = readers.read_jams(FORMATS["jams"].to_bytes(segments))
    assert tiers["label"] == labels_of(segments)
    assert of_tiers(tiers, "own label") == own_labels_of(segments)
    assert sorted(spans(tiers.get("music", []))) == songs_of(segments)


@given(recordings())
@example(EXAMPLE)
@LAW
def test_parts_of_ebucore(segments: airsift.Segments) -> None:
    rows = readers.read_ebucore(FORMATS["ebucore"].to_bytes(segments))
    n = len(segments)
    assert rows[:n] == labels_of(segments)
    own = [row[:2] for row in rows[n:] if row[2] == "own label"]
    assert sorted(own) == spans(own_labels_of(segments))
    assert sorted(spans([row for row in rows[n:] if row[2] == "song"])) == songs_of(segments)


@given(recordings())
@example(EXAMPLE)
@LAW
def test_tracks_of_a_cue_sheet(segments: airsift.Segments) -> None:
    segments = segments.copy()
    segments.name = "talk.mp3"
    file, tracks = readers.read_cue(FORMATS["cue"].to_bytes(segments))
    assert file == "talk.mp3"
    begins = [frame for frame, _ in tracks]
    assert begins == sorted(set(begins))
    ends = [*begins[1:], round(segments.duration_s * 75)]
    found = {
        (start, end)
        for (start, title), end in zip(tracks, ends, strict=False)
        if title != cue_sheets.NO_AUDIO
    }
    wanted = {(round(each.start_s * 75), round(each.end_s * 75)) for each in segments}
    assert found == {(start, end) for start, end in wanted if start < end}


def test_cuetools_reads_a_cue_sheet() -> None:
    import cuetools

    wave = airsift.Segments(PLAIN, name="talk.wav", duration_s=131.0, matches=PLAIN.matches[:1])
    album = cuetools.loads(FORMATS["cue"].to_bytes(wave).decode())
    assert [track.index01.frames for track in album.tracks] == [0, 938, 7519, 7575, 9751]
    assert [track.title for track in album.tracks][1] == "Star 'fall' -->"
    assert album.tracks[1].performer == "Abel & <b>"
    assert {str(track.file) for track in album.tracks} == {"talk.wav"}


def test_a_cue_sheet_has_at_most_99_tracks() -> None:
    many = airsift.Segments(
        [airsift.Segment(float(n), n + 1.0, "speech", 1.0) for n in range(100)], name="a.mp3"
    )
    with pytest.raises(FormatError, match="100 segments, and a CUE sheet at most 99"):
        FORMATS["cue"].write(many)


@given(recordings())
@example(EXAMPLE)
@LAW
def test_parts_of_a_playlist(segments: airsift.Segments) -> None:
    segments = segments.copy()
    segments.name = "#1 talk.mp3"
    rows = readers.read_m3u(FORMATS["m3u"].to_bytes(segments))
    assert [row[:2] for row in rows] == spans(labels_of(segments))
    assert {path for *_, path in rows} <= {"./#1 talk.mp3"}


@pytest.mark.parametrize("name", ["cue", "m3u"])
def test_a_path_that_a_format_cannot_hold_is_named(name: str) -> None:
    with pytest.raises(FormatError, match=r"'\\n'.*rename it, or choose another --format"):
        FORMATS[name].write(airsift.Segments(name="a\nb.mp3"))
    # Bytes of a name that are no UTF-8 are those of the file.
    assert b"\xff.mp3" in FORMATS[name].to_bytes(
        airsift.Segments(EXAMPLE, name="\udcff.mp3", duration_s=131.0)
    )


@given(recordings())
@example(EXAMPLE)
@pytest.mark.slow
@LAW
def test_rows_and_documents(segments: airsift.Segments) -> None:
    wanted = labels_of(segments)
    assert readers.read_json(FORMATS["json"].to_bytes(segments)) == wanted
    assert readers.read_rows(FORMATS["jsonl"].to_bytes(segments)) == wanted
    assert readers.read_csv(FORMATS["csv"].to_bytes(segments)) == wanted
    own = own_labels_of(segments)
    assert sorted(readers.read_json(FORMATS["json"].to_bytes(segments), "labels")) == own
    assert sorted(readers.read_rows(FORMATS["jsonl"].to_bytes(segments), "label")) == own
    assert sorted(readers.read_csv(FORMATS["csv"].to_bytes(segments), "label")) == own


@given(
    st.lists(
        st.builds(
            airsift.Segment,
            st.floats(-5, 50),
            st.floats(-5, 50),
            TEXTS,
            SCORES,
            st.one_of(st.none(), TEXTS),
        ),
        max_size=6,
    ),
    st.lists(st.tuples(st.floats(0, 50), st.floats(0, 50), TEXTS), max_size=3),
    st.floats(0.001, 40),
)
@pytest.mark.slow
@LAW
def test_rubbish_is_put_in_order(
    segments: list[airsift.Segment], labels: list[readers.Row], duration_s: float
) -> None:
    """Segments that overlap, end before they begin or lie outside, with labels of anything."""
    rubbish = airsift.Segments(segments, name="a.mp3", duration_s=duration_s)
    rubbish = with_labels(rubbish, *labels)
    written = {
        name: each.to_bytes(rubbish)
        for name, each in FORMATS.items()
        if name not in ("jams", "json")
    }
    for name, data in written.items():
        text = data.decode()
        assert not any(code in text for code in CONTROL), name
    with TemporaryDirectory() as folder:
        tiers = readers.read_elan(written["elan"], Path(folder))
        grid = readers.read_textgrid(written["textgrid"], Path(folder))
    ordered = [*tiers.values(), *grid.values(), readers.read_with_pysubs2(written["srt"], "srt")]
    last = round(duration_s, 3)
    for rows in ordered:
        assert all(0 <= start < end <= last for start, end, _ in rows)
        assert all(end <= start for (_, end, _), (start, _, _) in pairwise(rows))
    frames = [frame for frame, _ in readers.read_cue(written["cue"])[1]]
    assert frames == sorted(set(frames))


@pytest.mark.parametrize("name", FORMATS)
def test_a_recording_without_segments(name: str) -> None:
    empty = airsift.Segments(name="empty.mp3", duration_s=2.0)
    assert isinstance(FORMATS[name].to_bytes(empty), bytes)


def test_a_textgrid_of_nothing_is_refused() -> None:
    with pytest.raises(FormatError, match=r"empty.mp3: is 0 s long"):
        FORMATS["textgrid"].write(airsift.Segments(name="empty.mp3"))


def test_a_table_shows_segments_labels_songs_and_shares() -> None:
    lines = str(FORMATS["table"].write(EXAMPLE)).splitlines()
    assert lines[0] == "talk.mp3, 02:11.0"
    assert lines[2].split() == ["00:00.0", "00:12.5", "speech", "0.98", "female"]
    assert lines[3].split() == ["00:10.0", "00:20.5", "+", "applause", "0.90"]
    assert lines[5].endswith('> Abel & <b> - Star "fall" -->')
    assert lines[-1] == "music 68 %, speech_over_music 22 %, speech 10 %"
    assert max(map(len, lines)) < 80


@pytest.mark.parametrize(
    ("name", "package"),
    [("textgrid", "praatio"), ("rttm", "pyannote"), ("vtt", "webvtt"), ("jams", "jams")],
)
def test_a_missing_library_is_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    for loaded in [each for each in sys.modules if each.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(airsift.AirsiftError, match=r"install airsift\[formats\]") as error:
        FORMATS[name].write(EXAMPLE)
    assert f"--format {name} needs {package}" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_song_is_named_where_it_plays_and_not_where_it_only_reaches() -> None:
    bounds = [(0.0, 14.0, "speech"), (14.0, 54.0, "music"), (54.0, 69.4, "speech")]
    found = airsift.Segments(
        [airsift.Segment(*each, 0.9) for each in bounds],
        name="talk.mp3",
        duration_s=70.0,
        matches=[airsift.Match(13.9, 54.1, "a", 9.5, 0.0, "Starfall")],
    )
    _, tracks = readers.read_cue(FORMATS["cue"].to_bytes(found))
    assert [title for _, title in tracks][:3] == ["speech", "Starfall", "speech"]
    rows = readers.read_srt(FORMATS["srt"].to_bytes(found))
    assert [text for *_, text in rows] == ["speech", "music\nStarfall", "speech"]


def test_texts_are_kept_but_for_what_a_format_cannot_hold() -> None:
    title = "a\nb 😀 <i>"
    segments = airsift.Segments(
        [airsift.Segment(0.0, 5.0, "music", 1.0)],
        name="a.mp3",
        matches=[airsift.Match(0.0, 5.0, "t", 9.0, 0.0, title, "x")],
    )
    for name in ("audacity", "elan", "m3u", "cue"):
        text = FORMATS[name].to_bytes(segments).decode()
        shown = "a\ufffdb 😀 &lt;i&gt;" if name == "elan" else "a\ufffdb 😀 <i>"
        assert shown in text, name
    assert one_line(title) == "a\ufffdb 😀 <i>"
