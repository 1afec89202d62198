from __future__ import annotations

from stream.kafka.position import Claim, Position

RATE = 1000  # samples are milliseconds


def claim(
    start_sample: int | None = None, time_ms: int | None = None, arrived_ms: int | None = None
) -> Claim:
    return Claim(start_sample, RATE, time_ms, arrived_ms)


def starts(*claims: Claim, n: int = 500) -> list[int]:
    position = Position(jump_s=0.5, pause_s=5.0)
    return [position.place(each, n, RATE) for each in claims]


def test_start_sample_is_believed() -> None:
    claims = [claim(7000, time_ms=1), claim(7500), claim(9000), claim(7500)]
    assert starts(*claims) == [7000, 7500, 9000, 7500]


def test_start_sample_counts_at_the_rate_it_says() -> None:
    position = Position(0.5, 5.0)
    assert position.place(Claim(16000, 16000, None, None), 10, 48000) == 48000


def test_jitter_of_the_time_is_ignored_and_a_jump_is_not() -> None:
    times = [10_000, 10_480, 11_030, 13_000, 13_500]
    assert starts(*[claim(time_ms=t) for t in times]) == [10_000, 10_500, 11_000, 13_000, 13_500]


def test_a_message_sent_twice_is_placed_where_it_was() -> None:
    times = [10_000, 10_500, 11_000, 11_500, 10_500]
    assert starts(*[claim(time_ms=t) for t in times])[-1] == 10_500


def test_a_clock_set_back_does_not_take_audio_with_it() -> None:
    times = [1_000_000, 1_000_500, 900_000, 900_500]
    expected = [1_000_000, 1_000_500, 1_001_000, 1_001_500]
    assert starts(*[claim(time_ms=t) for t in times]) == expected


def test_without_any_time_audio_goes_on_from_the_first_arrival() -> None:
    arrivals = [50_000, 50_010, 50_020, 53_000]  # faster than real time, then slower
    expected = [50_000, 50_500, 51_000, 51_500]
    assert starts(*[claim(arrived_ms=t) for t in arrivals]) == expected


def test_a_long_pause_between_arrivals_is_a_gap() -> None:
    arrivals = [50_000, 50_500, 60_000]
    assert starts(*[claim(arrived_ms=t) for t in arrivals]) == [50_000, 50_500, 60_000]


def test_it_resumes_where_it_was() -> None:
    position = Position(0.5, 5.0)
    position.resume(123, RATE)
    assert position.place(claim(arrived_ms=400), 10, RATE) == 123
    assert position.place(claim(arrived_ms=410), 10, RATE * 2) == 266
