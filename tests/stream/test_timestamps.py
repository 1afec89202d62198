from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.decoding.timestamps import CONFIRM_S, MAX_HOLE_S, TOLERANCE_S, Placed, TimestampTracker

RATE = 48_000
N = 960  # samples of a frame
Frames = list[tuple[float, float | None]]  # seconds, stamp


def place(
    frames: Frames, *, tick_s: float = 1 / RATE, wrap_s: float | None = None
) -> list[Placed[int]]:
    timeline = TimestampTracker[int](RATE, tick_s, wrap_s)
    out: list[Placed[int]] = []
    for i, (seconds, stamp_s) in enumerate(frames):
        out += timeline.push(i, seconds, stamp_s)
    out += timeline.flush()
    assert [placed.item for placed in out] == list(range(len(frames)))
    assert all(placed.jump >= 0 for placed in out)
    return out


def jumps(placed: list[Placed[int]]) -> dict[int, int]:
    return {item.item: item.jump for item in placed if item.jump}


def with_holes(count: int, holes: dict[int, int], start: int = 0) -> Frames:
    """Return frames of equal length with holes (in samples) before some of them."""
    frames, at = [], start
    for i in range(count):
        at += holes.get(i, 0)
        frames.append((N / RATE, at / RATE))
        at += N
    return frames


long_holes = st.dictionaries(st.integers(1, 199), st.integers(600, 20 * RATE), max_size=8)
holes_of = st.dictionaries(st.integers(1, 199), st.integers(300, 20 * RATE), max_size=8)


@given(holes=holes_of, start=st.integers(-RATE, 10**12))
def test_exact_stamps_give_every_hole_its_length_and_place(
    holes: dict[int, int], start: int
) -> None:
    assert jumps(place(with_holes(200, holes, start))) == holes


@given(holes=long_holes, tick_s=st.sampled_from([1e-3, 1 / 90_000, 1 / 600]), up=st.booleans())
def test_rounded_stamps_give_every_hole_to_a_tick(
    holes: dict[int, int], tick_s: float, up: bool
) -> None:
    frames = [
        (seconds, (math.ceil if up else math.floor)(stamp / tick_s) * tick_s)
        for seconds, stamp in with_holes(200, holes)
        if stamp is not None
    ]
    found = jumps(place(frames, tick_s=tick_s))
    assert found.keys() == holes.keys()
    done = 0
    for i, hole in sorted(holes.items()):
        done += found[i] - hole  # errors do not add up
        assert abs(done) <= tick_s * RATE + 1


@given(seed=st.integers(0, 2**32 - 1), right=st.integers(1, 30), max_s=st.sampled_from([0.02, 1e5]))
def test_stamps_that_return_within_a_second_make_no_hole(
    seed: int, right: int, max_s: float
) -> None:
    wrong = np.random.default_rng(seed).uniform(-max_s, max_s, 200)
    frames = [
        (seconds, stamp if stamp is None or i % right == 0 else stamp + wrong[i])
        for i, (seconds, stamp) in enumerate(with_holes(199 // right * right + 1, {}))
    ]
    assert jumps(place(frames)) == {}


@example(seed=0, late_s=0.015625, ppm=2.0)  # the last stamp is behind the drift, not the count
@given(seed=st.integers(0, 2**32 - 1), late_s=st.floats(0, 0.5), ppm=st.floats(-300, 300))
def test_jitter_and_drift_make_no_hole(seed: int, late_s: float, ppm: float) -> None:
    late = np.random.default_rng(seed).uniform(0, late_s, 301)
    late[::25] = 0
    frames = [
        (seconds, None if stamp is None else stamp * (1 + ppm / 1e6) + late[i])
        for i, (seconds, stamp) in enumerate(with_holes(301, {}))
    ]
    assert jumps(place(frames, tick_s=1e-3)) == {}


def test_a_drift_of_hours_makes_no_hole_and_is_no_length_of_one() -> None:
    holes = {50_000: 15 * RATE}
    frames = [
        (seconds, None if stamp is None else stamp * (1 + 1e-3))
        for seconds, stamp in with_holes(60_000, holes)
    ]
    found = jumps(place(frames))
    assert found.keys() == holes.keys()
    # Audio after a hole is at its time, so what has drifted away is part of the jump.
    assert found[50_000] / RATE == pytest.approx(16.015, abs=0.001)


@given(
    first=st.integers(50, 150),
    back=st.floats(0.1, 1e6),
    holes=st.dictionaries(st.integers(250, 390), st.integers(300, RATE), max_size=3),
)
def test_stamps_that_begin_anew_lose_nothing_and_later_holes_are_found(
    first: int, back: float, holes: dict[int, int]
) -> None:
    frames = with_holes(400, holes, 10 * RATE)
    frames = [(s, t if i < first or t is None else t - back) for i, (s, t) in enumerate(frames)]
    assert jumps(place(frames)) == holes


@pytest.mark.parametrize("by_s", [MAX_HOLE_S + 1, 86_400.0, 1.7e9])
def test_a_jump_of_a_day_is_not_believed_and_reported_once(by_s: float) -> None:
    frames = [
        (s, t if i < 100 or t is None else t + by_s)
        for i, (s, t) in enumerate(with_holes(300, {200: RATE}))
    ]
    placed = place(frames)
    assert jumps(placed) == {200: RATE}
    believed = {item.item: item.disbelieved_s for item in placed if item.disbelieved_s}
    assert believed == {100: pytest.approx(by_s)}


@given(
    before=st.integers(0, 250), holes=st.dictionaries(st.integers(1, 199), st.integers(300, RATE))
)
def test_a_counter_that_wraps_goes_on(before: int, holes: dict[int, int]) -> None:
    wrap_s = 2**33 / 90_000
    start = round((wrap_s - before * N / RATE) * RATE)
    frames = [(s, None if t is None else t % wrap_s) for s, t in with_holes(200, holes, start)]
    found = jumps(place(frames, wrap_s=wrap_s))
    assert {i: pytest.approx(n, abs=1) for i, n in holes.items()} == found


@given(known=st.integers(1, 100), holes=st.dictionaries(st.integers(101, 199), st.just(RATE)))
def test_frames_before_the_first_stamp_are_dated_from_it(known: int, holes: dict[int, int]) -> None:
    frames = [
        (s, None if i < known else t) for i, (s, t) in enumerate(with_holes(200, holes, RATE))
    ]
    timeline = TimestampTracker[int](RATE, 1 / RATE)
    placed = [p for i, (s, t) in enumerate(frames) for p in timeline.push(i, s, t)]
    placed += timeline.flush()
    assert timeline.start_s == pytest.approx(1.0)
    assert jumps(placed) == holes


def test_no_stamps_are_no_holes_and_nothing_is_held() -> None:
    timeline = TimestampTracker[int](RATE, 1e-3)
    timeline.push(0, 0.02, 5.0)
    for i in range(1, 100):
        assert [placed.item for placed in timeline.push(i, 0.02, None)] == [i]


@given(lost_s=st.floats(0, 2), true_s=st.floats(0, 5))
def test_damage_is_as_long_as_the_stamps_around_it(lost_s: float, true_s: float) -> None:
    timeline = TimestampTracker[int](RATE, 1 / RATE)
    placed = timeline.push(0, 0.02, 1.0)
    for i in range(100):
        stamp_s = 1.02 + true_s + 0.02 * i
        placed += timeline.push(i + 1, 0.02, stamp_s, lost_s if i == 0 else 0.0)
    placed += timeline.flush()
    assert sum(jumps(placed).values()) / RATE == pytest.approx(true_s, abs=TOLERANCE_S + 1e-3)


def test_little_is_held() -> None:
    timeline = TimestampTracker[int](RATE, 1 / RATE)
    held = 0
    for i in range(5_000):
        held += 1 - len(timeline.push(i, 1 / RATE, i / RATE + (i % 7) * 1_000.0))
        assert held <= 256
    timeline = TimestampTracker[int](RATE, 1 / RATE)
    given_out = 0
    for i in range(200):
        given_out += len(timeline.push(i, 0.02, i * 0.02 + (15.0 if i >= 100 else 0.0)))
        assert (i + 1 - given_out) * 0.02 <= CONFIRM_S
