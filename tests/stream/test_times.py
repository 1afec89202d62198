"""The Unix time of a station's samples, for any timestamps in its messages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.audio import AudioChunk
from stream.kafka.codec.message import ChunkDecoder, ResumePoint
from stream.kafka.codec.timeline import read_timeline
from stream.kafka.settings import WireSettings
from stream.stages.clock import Clock
from tests.examples import examples

RATE = 8000
N = 4000
NOW_MS = 1_790_000_000_000
HEADERS = ["count from 1970", "count from 0", "time_ms", "count and time_ms", "nothing"]


def send(
    decoder: ChunkDecoder, by: str, i: int, *, late_ms: int = 0, arrived_ms: int | None = None
) -> AudioChunk:
    """Decode chunk `i`, which begins i * 0.5 s after NOW and is sent when it is complete."""
    headers = {"content-type": "audio/x-s16le", "rate": RATE}
    if by == "count from 1970":
        headers["start_sample"] = NOW_MS * RATE // 1000 + i * N
    if by in ("count from 0", "count and time_ms"):
        headers["start_sample"] = i * N
    if "time_ms" in by:
        headers["time_ms"] = NOW_MS + i * 500
    encoded = [(name, str(value).encode()) for name, value in headers.items()]
    arrived_ms = NOW_MS + (i + 1) * 500 + late_ms if arrived_ms is None else arrived_ms
    return decoder.decode(b"a", bytes(2 * N), encoded, arrived_ms).chunk


@pytest.mark.parametrize("by", HEADERS)
def test_every_station_has_the_time_of_day(by: str) -> None:
    decoder, clock = ChunkDecoder(WireSettings.default()), Clock()
    for i in range(20):
        chunk = send(decoder, by, i, late_ms=(7 * i) % 20)
        # By arrival alone, a message that is sent when it is complete is late by its length.
        tolerance = 0.55 if by == "nothing" else 0.03
        assert chunk.time == pytest.approx((NOW_MS + i * 500) / 1000, abs=tolerance)
        clock.push([chunk])
        assert clock.time("a", chunk.end, RATE) is not None


def test_a_count_from_1970_needs_no_other_time() -> None:
    chunk = send(ChunkDecoder(WireSettings.default()), "count from 1970", 3, arrived_ms=-(2**63))
    assert chunk.time == NOW_MS / 1000 + 1.5


def test_a_count_from_0_without_any_time_has_none() -> None:
    chunk = send(ChunkDecoder(WireSettings.default()), "count from 0", 3, arrived_ms=2**62)
    assert chunk.time is None


def test_audio_recorded_years_ago_has_the_time_of_its_count() -> None:
    chunk = send(ChunkDecoder(WireSettings.default()), "count from 1970", 0, late_ms=10**11)
    assert chunk.time == NOW_MS / 1000


def test_a_count_that_is_ahead_of_its_record_is_no_unix_time() -> None:
    before_ms = 3 * 10**10
    chunk = send(ChunkDecoder(WireSettings.default()), "count from 1970", 0, late_ms=-before_ms)
    assert chunk.time == pytest.approx((NOW_MS - before_ms) / 1000)


@pytest.mark.parametrize("off_ms", [10**10, -(10**10), 90_000])
def test_one_wrong_record_timestamp_moves_no_time(off_ms: int) -> None:
    decoder = ChunkDecoder(WireSettings.default())
    for i in range(12):
        chunk = send(decoder, "count from 0", i, late_ms=off_ms if i == 6 else 0)
        assert chunk.time == pytest.approx((NOW_MS + i * 500) / 1000, abs=0.01)


def test_a_clock_of_records_that_was_set_is_followed() -> None:
    decoder = ChunkDecoder(WireSettings.default())
    for i in range(12):
        chunk = send(decoder, "count from 0", i, late_ms=10**7 if i > 5 else 0)
    assert chunk.time == pytest.approx((NOW_MS + 11 * 500 + 10**7) / 1000, abs=0.01)


def test_after_a_new_beginning_the_time_is_that_of_the_record() -> None:
    decoder = ChunkDecoder(WireSettings.default())
    for i in range(3):
        send(decoder, "count from 0", 10_000 + i, arrived_ms=NOW_MS + (i + 1) * 500)
    for i in range(3):
        again = send(decoder, "count from 0", i, arrived_ms=NOW_MS + 7_200_000 + (i + 1) * 500)
        assert again.time == pytest.approx((NOW_MS + 7_200_000 + i * 500) / 1000, abs=0.01)
    # The gap is as long as nothing came.
    assert again.start / RATE == pytest.approx(5000 + 7200 + 1.0, abs=1.0)


@examples(50)
@given(
    st.sampled_from(HEADERS),
    st.lists(st.integers(-200, 200), min_size=4, max_size=30),
    st.data(),
)
def test_a_restart_gives_the_same_times(by: str, jitter: list[int], data: Any) -> None:
    whole = ChunkDecoder(WireSettings.default())
    times, places = [], []
    for i, late_ms in enumerate(jitter):
        state = whole._stations.get("a")
        places.append(json.loads(json.dumps(state.timeline.state)) if state else [])
        times.append(send(whole, by, i, late_ms=late_ms).time)
    begin = data.draw(st.integers(1, len(jitter) - 1))
    second = ChunkDecoder(WireSettings.default())
    second.resume("a", ResumePoint(0, 0, RATE, read_timeline(places[begin])))
    again = [send(second, by, i, late_ms=jitter[i]).time for i in range(begin, len(jitter))]
    assert again == times[begin:]
