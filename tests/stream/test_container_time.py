from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.audio import Discontinuity
from stream.decoding.reader import HOLE, AudioReader
from stream.sources.file import FileSource, read_file
from stream.sources.settings import FileSettings
from stream.stages.align import Align
from tests.examples import examples
from tests.stream.media import lag, mux, noise, runs

RATE = 48_000
SIGNAL = noise(8, RATE)[0]
# Format, codec, samples by which FFmpeg may be off: Matroska counts in ms, an mp4's list in ms.
KINDS = [
    ("ts", "mp2", 1),
    ("ts", "aac", 1),
    ("mkv", "aac", 48),
    ("mkv", "libopus", 48),
    ("mkv", "flac", 48),
    ("mkv", "pcm_s16le", 48),
    ("mp4", "aac", 48),
    ("mp4", "flac", 0),
    ("mp4", "libmp3lame", 48),
    ("mov", "aac", 48),
    ("ogg", "libopus", 0),
    ("ogg", "flac", 0),
    ("nut", "flac", 0),
    ("flv", "aac", 48),
]
# One packet in a page, and in a PES packet: only their first packets have stamps.
OPTIONS = {"ogg": {"page_duration": "1000"}, "ts": {"pes_payload_size": "0"}}
HAS_ZERO = {"mkv", "mp4", "mov"}


def check(path: Path, cuts: list[tuple[int, int]], start: int, error: int, slack: int) -> None:
    """Check that each stretch of a signal is where it belongs, and that the lengths add up."""
    reader = AudioReader(path)
    found = runs(reader)
    assert reader.problems == []
    assert len(found) == len(cuts) + 1
    assert len({len(SIGNAL)} | {len(samples) for _, samples in found}) > 1 or not cuts
    for at, samples in found:
        assert abs(lag(samples, SIGNAL, at - start)) <= error
    holes = [b - (a + len(samples)) for (a, samples), (b, _) in pairwise(found)]
    for hole, (cut, cut_end) in zip(holes, cuts, strict=True):
        assert cut_end - cut - error - 1 <= hole <= cut_end - cut + slack
    last, samples = found[-1]
    total = sum(len(samples) for _, samples in found) + sum(holes) + found[0][0]
    assert total == last + len(samples) == pytest.approx(start + len(SIGNAL), abs=slack)


@st.composite
def cuts_of(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Cuts of 60 ms to 1 s with at least 0.4 s of audio before, between and after them."""
    at, cuts = 0, []
    for _ in range(draw(st.integers(0, 3))):
        cut = at + draw(st.integers(20_000, 60_000))
        at = cut + draw(st.integers(3_000, RATE))
        cuts.append((cut, at))
    return cuts


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "codec", "error"), KINDS)
@examples(5)
@given(cuts=cuts_of(), start_ms=st.integers(100, 20_000))
def test_audio_beside_a_film_is_at_its_time_and_holes_have_their_length(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    codec: str,
    error: int,
    cuts: list[tuple[int, int]],
    start_ms: int,
) -> None:
    path = tmp_path_factory.mktemp("film") / f"a.{kind}"
    start = start_ms * RATE // 1000
    film_s = 0.0 if kind in ("ogg", "flv") else 1.0
    mux(
        path, SIGNAL, RATE, codec, start=start, cuts=cuts, video_s=film_s, options=OPTIONS.get(kind)
    )
    at = start if film_s else 0  # alone, a stream without a zero of its own is dated from itself
    check(path, cuts, at, error + (0 if film_s else 1_200), 3 * 4_608)


@pytest.mark.parametrize(("kind", "codec", "error"), KINDS)
def test_a_start_and_a_hole(tmp_path: Path, kind: str, codec: str, error: int) -> None:
    cuts = [(3 * RATE, 5 * RATE)]
    path = tmp_path / f"a.{kind}"
    mux(path, SIGNAL, RATE, codec, start=20 * RATE, cuts=cuts, options=OPTIONS.get(kind))
    check(path, cuts, 20 * RATE if kind in HAS_ZERO else 0, error + 1_200, 2 * 4_608)
    source = FileSource(path, settings=FileSettings.default(chunk_s=0.7))
    chunks = [chunk for batch in source for chunk in batch]
    behind = [b for a, b in pairwise(chunks) if b.start > a.end]
    assert [chunk.gap_reason for chunk in behind] == [HOLE]
    gap = sum(b.start - a.end for a, b in pairwise(chunks))
    assert gap == pytest.approx(2 * RATE, abs=2 * 4_608)
    align = Align(RATE)
    cuts_found = [item for item in align.push(chunks) if isinstance(item, Discontinuity)]
    assert [(cut.start, cut.reason) for cut in cuts_found] == [(behind[0].start - gap, HOLE)]
    whole = read_file(path, RATE)
    assert len(whole) == chunks[-1].end
    assert not whole[behind[0].start - RATE : behind[0].start].any()


@pytest.mark.slow
def test_audio_that_begins_after_the_picture_is_dated_from_it(tmp_path: Path) -> None:
    for name in ("a.mkv", "a.mp4", "a.mov", "a.ts", "a.nut"):
        mux(tmp_path / name, SIGNAL[: 2 * RATE], RATE, "aac", start=20 * RATE, video_s=25)
        source = FileSource(tmp_path / name)
        chunks = [chunk for batch in source for chunk in batch]
        assert source.warnings == []
        assert chunks[0].start == pytest.approx(20 * RATE, abs=1_100)
        assert chunks[-1].end == pytest.approx(22 * RATE, abs=2_200)


def test_pictures_that_begin_after_the_audio_move_nothing(tmp_path: Path) -> None:
    for name in ("a.mkv", "a.mp4", "a.ts"):
        with av.open(str(tmp_path / name), "w") as film:
            video = film.add_stream("mpeg4", rate=25, width=64, height=64)
            audio = film.add_stream("mp2", rate=RATE, layout="mono")
            frame = av.AudioFrame.from_ndarray(SIGNAL[None, : 2 * RATE], "flt", "mono")
            frame.sample_rate, frame.pts = RATE, 0
            film.mux([*audio.encode(frame), *audio.encode(None)])
            picture = av.VideoFrame(64, 64, "yuv420p")
            picture.pts = 25 * 10
            film.mux([*video.encode(picture), *video.encode(None)])
        assert runs(AudioReader(tmp_path / name))[0][0] <= 1_100


@pytest.mark.parametrize(("kind", "codec"), [("mkv", "libopus"), ("mkv", "aac"), ("ts", "mp2")])
def test_stamps_that_jitter_make_no_gap(tmp_path: Path, kind: str, codec: str) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / f"a.{kind}"
    # Stamps as a recorder takes them from its clock: late by up to 18 ms, at random.
    mux(path, SIGNAL, RATE, codec, stamp=lambda at: at + int(rng.integers(0, 864)))
    reader = AudioReader(path)
    (start, samples), *others = runs(reader)
    assert others == []
    assert start + len(samples) == pytest.approx(len(SIGNAL), abs=3_000)
    assert reader.problems == []


def test_stamps_that_go_back_lose_nothing(tmp_path: Path) -> None:
    for kind in ("a", "b"):
        mux(tmp_path / f"{kind}.ts", SIGNAL[: 3 * RATE], RATE, "mp2", start=60 * RATE)
    joined = (tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes()
    (tmp_path / "joined.ts").write_bytes(joined)
    reader = AudioReader(tmp_path / "joined.ts")
    (start, samples), *others = runs(reader)
    assert (start, others, reader.problems) == (0, [], [])
    assert len(samples) == pytest.approx(6 * RATE, abs=3_000)


@pytest.mark.parametrize("first_s", [0, 100, 20_000])
@pytest.mark.parametrize("second_s", [0, 50_000, 95_000])
def test_stamps_that_go_back_before_their_zero_end_nothing_early(
    tmp_path: Path, first_s: int, second_s: int
) -> None:
    for name, start_s in (("a", first_s), ("b", second_s)):
        mux(tmp_path / f"{name}.ts", SIGNAL[: 3 * RATE], RATE, "mp2", start=start_s * RATE)
    joined = (tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes()
    (tmp_path / "joined.ts").write_bytes(joined)
    reader = AudioReader(tmp_path / "joined.ts")
    found = runs(reader)
    assert sum(len(samples) for _, samples in found) == pytest.approx(6 * RATE, abs=3_000)
    assert not any("ends early" in problem for problem in reader.problems)


def test_a_counter_of_33_bits_that_wraps_is_no_hole(tmp_path: Path) -> None:
    start = round((2**33 / 90_000 - 4) * RATE)
    cuts = [(5 * RATE, 6 * RATE)]
    mux(tmp_path / "a.ts", SIGNAL, RATE, "mp2", start=start, cuts=cuts, options=OPTIONS["ts"])
    check(tmp_path / "a.ts", cuts, 0, 1_200, 3_000)


@pytest.mark.parametrize("name", ["a.mkv", "a.nut"])
def test_a_jump_of_a_day_is_reported_and_not_believed(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    day = 86_400 * RATE
    mux(path, SIGNAL, RATE, "flac", stamp=lambda at: at + day * (at > 4 * RATE))
    reader = AudioReader(path)
    (start, samples), *others = runs(reader)
    assert (start, others) == (0, [])
    np.testing.assert_allclose(samples, SIGNAL, atol=1e-3)
    (problem,) = reader.problems
    assert "its timestamps jump by 86400 s at 4." in problem


@pytest.mark.parametrize("start_s", [86_400, 1_700_000_000])
def test_a_live_fragment_that_counts_from_1970_begins_at_0(tmp_path: Path, start_s: int) -> None:
    mux(tmp_path / "a.mkv", SIGNAL, RATE, "flac", start=start_s * RATE)
    (start, samples), *others = runs(AudioReader(tmp_path / "a.mkv"))
    assert (start, len(samples), others) == (0, len(SIGNAL), [])


def edit_list(data: bytes, entries: list[tuple[int, int]]) -> bytes:
    """Return an mp4 file with the only track's edit list replaced: (ms, media time)."""
    at = data.index(b"elst") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    body = b"".join(n.to_bytes(4, "big", signed=True) for e in entries for n in (*e, 0x10000))
    new = (16 + len(body)).to_bytes(4, "big") + b"elst" + bytes(4)
    new += len(entries).to_bytes(4, "big") + body
    grown = len(new) - size
    data = data[:at] + new + data[at + size :]
    for name in (b"moov", b"trak", b"edts"):
        place = data.index(name) - 4
        length = int.from_bytes(data[place : place + 4], "big") + grown
        data = data[:place] + length.to_bytes(4, "big") + data[place + 4 :]
    return data


def test_an_edit_list_cuts_the_beginning_to_the_sample(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    mux(path, SIGNAL, RATE, "aac")
    sound = path.read_bytes()
    first = 1_024 + 12_345  # of the media, which begins with the encoder's delay
    path.write_bytes(edit_list(sound, [(5_000, first)]))
    (start, samples), *others = runs(AudioReader(path))
    assert (start, others) == (0, [])
    assert lag(samples, SIGNAL[12_345:], 0) == 0
    path.write_bytes(edit_list(sound, [(3_000, -1), (5_000, 1_024)]))
    (start, samples), *others = runs(AudioReader(path))
    assert others == []
    assert lag(samples, SIGNAL, start - 3 * RATE) == 0


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "aac"), ("a.mkv", "libopus"), ("a.opus", "libopus"), ("a.mp3", "libmp3lame")],
)
def test_an_encoders_delay_is_taken_off_to_the_sample(
    tmp_path: Path, name: str, codec: str
) -> None:
    mux(tmp_path / name, SIGNAL, RATE, codec)
    (start, samples), *others = runs(AudioReader(tmp_path / name))
    assert (start, others) == (0, [])
    assert lag(samples, SIGNAL, 0) == 0


def test_a_whole_file_read_into_memory_has_silence_for_its_holes(tmp_path: Path) -> None:
    cuts = [(2 * RATE, 4 * RATE)]
    mux(tmp_path / "a.mp4", SIGNAL, RATE, "flac", start=3 * RATE, cuts=cuts)
    whole: NDArray[np.float32] = read_file(tmp_path / "a.mp4", RATE)
    assert len(whole) == 11 * RATE
    assert not whole[: 3 * RATE].any()
    np.testing.assert_allclose(whole[3 * RATE : 4 * RATE], SIGNAL[:RATE], atol=1e-3)
    np.testing.assert_allclose(whole[-RATE:], SIGNAL[-RATE:], atol=1e-3)
