from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.codec.sample_count import TimelineRules, TimestampHint
from stream.kafka.codec.timeline import Timeline
from tests.examples import examples

RATE = 1000  # samples are milliseconds
RULES = TimelineRules(jump_s=0.5, pause_s=5.0, confirm_jump_s=10.0)


def hint(
    start_sample: int | None = None, time_ms: int | None = None, arrived_ms: int | None = None
) -> TimestampHint:
    return TimestampHint(start_sample, RATE, time_ms, arrived_ms)


def starts(*hints: TimestampHint, n: int = 500) -> list[int]:
    position = Timeline(RULES)
    return [position.put(each, n, RATE).start for each in hints]


def on_time(n: int, count: int) -> list[int]:
    return list(range(10**12, 10**12 + n * count, n))


def test_start_sample_is_believed() -> None:
    hints = [hint(7000, time_ms=1), hint(7500), hint(9000), hint(7500)]
    assert starts(*hints) == [7000, 7500, 9000, 7500]


def test_start_sample_counts_at_its_own_rate() -> None:
    position = Timeline(RULES)
    assert position.put(TimestampHint(16000, 16000, None, None), 10, 48000).start == 48000


def test_jitter_of_the_time_is_ignored_and_a_jump_is_not() -> None:
    times = [10_000, 10_480, 11_030, 13_000, 13_500]
    assert starts(*[hint(time_ms=t) for t in times]) == [10_000, 10_500, 11_000, 13_000, 13_500]


def test_a_message_sent_twice_is_placed_where_it_was() -> None:
    times = [10_000, 10_500, 11_000, 11_500, 10_500]
    assert starts(*[hint(time_ms=t) for t in times])[-1] == 10_500


def test_a_clock_set_back_does_not_take_audio_with_it() -> None:
    times = [1_000_000, 1_000_500, 900_000, 900_500]
    expected = [1_000_000, 1_000_500, 1_001_000, 1_001_500]
    assert starts(*[hint(time_ms=t) for t in times]) == expected


def test_without_any_time_audio_goes_on_from_the_first_arrival() -> None:
    arrivals = [50_000, 50_010, 50_020, 53_000]  # faster than real time, then slower
    expected = [50_000, 50_500, 51_000, 51_500]
    assert starts(*[hint(arrived_ms=t) for t in arrivals]) == expected


def test_a_long_pause_between_arrivals_is_a_gap() -> None:
    arrivals = [50_000, 50_500, 60_000]
    assert starts(*[hint(arrived_ms=t) for t in arrivals]) == [50_000, 50_500, 60_000]


def test_it_resumes_where_it_was() -> None:
    position = Timeline(RULES)
    position.resume((123, RATE))
    assert position.put(hint(arrived_ms=400), 10, RATE).start == 123
    assert position.put(hint(arrived_ms=410), 10, RATE * 2).start == 266


LENGTHS = [20, 100, 500, 2000, 30_000]  # ms of a chunk


@examples(60)
@given(st.sampled_from(LENGTHS), st.lists(st.integers(-45, 45), min_size=1, max_size=60))
def test_times_that_jitter_leave_no_gap(n: int, jitter: list[int]) -> None:
    times = [t + j for t, j in zip(on_time(n, len(jitter)), jitter, strict=True)]
    positions = starts(*[hint(time_ms=t) for t in times], n=n)
    assert {b - a for a, b in itertools.pairwise(positions)} <= {n}


@examples(60)
@given(
    st.sampled_from([200, 500, 2000]),
    st.lists(st.tuples(st.integers(0, 3), st.integers(-40, 40)), min_size=1, max_size=30),
)
def test_late_chunks_with_times_that_jitter_are_put_where_they_belong(
    n: int, late: list[tuple[int, int]]
) -> None:
    order = [0, *sorted(range(1, len(late) + 1), key=lambda i: i + late[i - 1][0])]
    jitter = [0, *(j for _, j in late)]
    times = on_time(n, len(order))
    assert starts(*[hint(time_ms=times[i] + jitter[i]) for i in order], n=n) == [
        times[i] for i in order
    ]


@pytest.mark.slow
@pytest.mark.parametrize("ppm", [-200, 100])
@pytest.mark.parametrize("by", ["time_ms", "arrived_ms"])
def test_a_station_that_drifts_for_days_has_no_gap(by: str, ppm: int) -> None:
    n, position, expected = 60_000, Timeline(RULES), 10**12
    for k in range(7 * 24 * 60):
        reported = 10**12 + round(k * n * (1 + ppm / 1e6)) + (k * 7919) % 60 - 30
        start = position.put(hint(**{by: reported}), n, RATE).start
        expected = start if k == 0 else expected
        assert start == expected
        assert position.time(start, RATE) == pytest.approx(reported / 1000, abs=0.1)
        expected += n


def test_after_drift_a_gap_is_as_long_as_it_was() -> None:
    position = Timeline(RULES)
    for k in range(3_000):
        end = position.put(hint(time_ms=10**12 + round(k * 10_000 * 0.9999)), 10_000, RATE).start
    reported = 10**12 + round(3_000 * 10_000 * 0.9999) + 4000
    assert position.put(hint(time_ms=reported), 2000, RATE).start == end + 10_000 + 4000


def test_samples_times_and_arrivals_may_be_mixed() -> None:
    assert starts(
        hint(7000, time_ms=10**12),
        hint(time_ms=10**12 + 510),
        hint(arrived_ms=10**12 + 1700),
        hint(8500),
        hint(time_ms=10**12 + 4000),
        hint(12_000, time_ms=10**12 + 5000),
        hint(arrived_ms=10**12 + 7000),
    ) == [7000, 7500, 8000, 8500, 11_000, 12_000, 12_500]


def test_a_time_after_samples_without_any_goes_on() -> None:
    assert starts(hint(7000), hint(time_ms=10**12), hint(time_ms=10**12 + 2500)) == [
        7000,
        7500,
        10_000,
    ]


@examples(60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["start_sample", "time_ms", "arrived_ms", "both"]),
            st.integers(0, 9),
            st.sampled_from([1000, 2000]),
        ),
        min_size=2,
        max_size=20,
    ),
    st.data(),
)
def test_from_any_message_on_the_places_are_the_same_again(messages: list, data: st.Data) -> None:
    hints, at = [], 10**6
    for kind, step, rate in messages:
        at += (0, 500, 500, 500, 500, 500, 510, 1000, 8000, -500)[step]
        reported = {name: at for name in ("time_ms", "arrived_ms") if kind in (name, "both")}
        sample = at if kind in ("start_sample", "both") else None
        hints.append(
            (TimestampHint(sample, 1000, reported.get("time_ms"), reported.get("arrived_ms")), rate)
        )
    first, second, places, whole = Timeline(RULES), Timeline(RULES), [], []
    for each, rate in hints:
        places.append(json.loads(json.dumps(first.state)))
        whole.append(first.put(each, rate // 2, rate).start)
    begin = data.draw(st.integers(1, len(hints) - 1))
    second.resume(places[begin])
    assert [second.put(each, rate // 2, rate).start for each, rate in hints[begin:]] == whole[
        begin:
    ]


def test_a_burst_after_a_hold_up_is_no_time_travel() -> None:
    arrivals = [50_000, 50_500, 54_900, 54_901, 54_902, 55_000]
    assert starts(*[hint(arrived_ms=t) for t in arrivals]) == list(range(50_000, 53_000, 500))
