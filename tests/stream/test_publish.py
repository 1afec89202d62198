from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.audio import AudioChunk
from stream.kafka.client import publish as publishing
from stream.kafka.client.publish import _Cutter, _Pace, _pieces
from stream.kafka.settings import KafkaSettings
from stream.runner import Stop
from stream.sources.file import FileSource
from tests.stream.media import mux, noise

RATE = 8000
SAMPLES = np.random.default_rng(0).standard_normal(5 * RATE).astype(np.float32)


def pieces(edges: list[int], *, chunk_ms: int = 500, rates: tuple[int, ...] = (), first: int = 0):
    cutter = _Cutter(chunk_ms, rates)
    out = []
    for a, b in pairwise(edges):
        out += cutter.push(AudioChunk("a", first + a, SAMPLES[a:b], RATE, 100 + a / RATE))
    return out + cutter.flush()


@given(
    st.lists(st.integers(1, len(SAMPLES) - 1), max_size=10),
    st.integers(20, 3000),
    st.sampled_from([(), (48000,)]),
)
def test_cutting_the_source_changes_nothing(cuts, chunk_ms, rates):
    edges = [0, *sorted(set(cuts)), len(SAMPLES)]
    cut = pieces(edges, chunk_ms=chunk_ms, rates=rates)
    whole = pieces([0, len(SAMPLES)], chunk_ms=chunk_ms, rates=rates)
    assert [(p.start, len(p.samples), p.rate) for p in cut] == [
        (p.start, len(p.samples), p.rate) for p in whole
    ]
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(cut, whole, strict=True))
    assert all(a.end == b.start for a, b in pairwise(cut))


def test_pieces_lie_on_a_grid_from_sample_0():
    out = pieces([0, 10_000], first=1000)
    assert [(p.start, p.end) for p in out] == [(1000, 4000), (4000, 8000), (8000, 11000)]


def test_pieces_have_the_sources_time():
    out = pieces([0, 3000, 10_000])
    assert [p.time for p in out] == pytest.approx([100.0, 100.5, 101.0])


@given(st.integers(20, 1000), st.sampled_from([8000, 11025, 22050, 44100]))
def test_the_grid_does_not_drift_where_it_does_not_divide(chunk_ms, rate):
    cutter = _Cutter(chunk_ms, ())
    out = cutter.push(AudioChunk("a", 0, np.zeros(10 * rate, np.float32), rate))
    assert all(abs(p.start - i * chunk_ms * rate / 1000) < 1 for i, p in enumerate(out))


def test_a_gap_ends_a_piece():
    cutter = _Cutter(500, ())
    out = cutter.push(AudioChunk("a", 0, SAMPLES[:5000], RATE))
    out += cutter.push(AudioChunk("a", 6000, SAMPLES[6000:10_000], RATE)) + cutter.flush()
    assert [(p.start, p.end) for p in out] == [
        (0, 4000),
        (4000, 5000),
        (6000, 8000),
        (8000, 10_000),
    ]


def test_a_new_rate_ends_a_piece():
    cutter = _Cutter(500, ())
    out = cutter.push(AudioChunk("a", 0, SAMPLES[:3000], RATE))
    out += cutter.push(AudioChunk("a", 6000, SAMPLES[:8000], 2 * RATE)) + cutter.flush()
    assert [(p.start, p.end, p.rate) for p in out] == [
        (0, 3000, 8000),
        (6000, 8000, 16000),
        (8000, 14_000, 16000),
    ]


def test_a_codec_gets_the_next_rate_it_knows():
    cutter = _Cutter(500, (12000, 24000))
    assert {p.rate for p in cutter.push(AudioChunk("a", 0, SAMPLES, RATE))} == {12000}
    assert {p.rate for p in cutter.push(AudioChunk("b", 0, SAMPLES, 44100))} <= {12000, 24000}


def test_publishing_is_paced_and_a_stop_ends_the_wait():
    stop = Stop()
    pace = _Pace(100.0, stop)
    before = time.monotonic()
    for i in range(4):
        pace.wait(AudioChunk("a", i * RATE, np.zeros(RATE, np.float32), RATE))
    assert time.monotonic() - before >= 0.04
    stop.request()
    before = time.monotonic()
    pace.wait(AudioChunk("a", 10**9, np.zeros(RATE, np.float32), RATE))
    assert time.monotonic() - before < 5


def test_only_real_time_gives_audio_a_time():
    chunk = AudioChunk("a", 0, np.zeros(80, np.float32), RATE)
    assert _Pace(None, Stop()).wait(chunk).time is None
    assert _Pace(50.0, Stop()).wait(chunk).time is None
    time_s = _Pace(1.0, Stop()).wait(chunk).time
    assert time_s is not None
    assert abs(time_s - time.time()) < 5


@pytest.mark.parametrize("end_s", [None, 100])
def test_a_file_keeps_its_start_and_its_holes_behind_what_its_station_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end_s: int | None
) -> None:
    rate = 48_000
    monkeypatch.setattr(
        publishing, "end_of_station", lambda *_: None if end_s is None else (end_s * RATE, RATE)
    )
    path = tmp_path / "a.mp4"
    mux(path, noise(8, rate)[0], rate, "flac", start=20 * rate, cuts=[(3 * rate, 5 * rate)])
    source = FileSource(path, "film")
    out = list(_pieces(source, KafkaSettings.default(), _Cutter(500, ()), Stop(), lambda: False))
    source.close()
    first = ((end_s or 0) + 20) * rate
    assert out[0].start == first
    assert out[-1].end == first + 8 * rate
    (hole,) = [b.start - a.end for a, b in pairwise(out) if b.start > a.end]
    assert hole == pytest.approx(2 * rate, abs=2 * 4_608)
