from __future__ import annotations

import itertools
import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.audio import EndOfStream
from stream.events import Decision, Segment
from stream.stages.smooth import MAX_LOG_ODDS, SCALE, Smooth, SmoothSettings, log_odds
from tests.examples import examples

S = 16000
SETTINGS = SmoothSettings(
    change_cost=2.0, max_delay=6 * S, min_length=2 * S, update=5 * S, grid=3200
)


def decisions(text: str, station: str = "a") -> list[Decision]:
    """Return one decision a second: s, m, b (both) or . (neither)."""
    p = {"s": (0.95, 0.05), "m": (0.05, 0.95), "b": (0.95, 0.95), ".": (0.05, 0.05)}
    return [Decision(station, k * S, (k + 5) * S, S, None, *p[c]) for k, c in enumerate(text)]


def segments(items, *, final=True):
    return [i for i in items if isinstance(i, Segment) and (i.final or not final)]


def run(text: str) -> list[tuple[str, float, float]]:
    end = (len(text) + 4) * S
    items = Smooth(SETTINGS).push([*decisions(text), EndOfStream("a", end, S)])
    return [(s.label, s.start / S, s.end / S) for s in segments(items)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # window:   0....5   a decision speaks for the middle of its window
        ("ssssssssss", [("speech", 0, 14)]),
        ("ssssssmmmmmm", [("speech", 0, 8), ("music", 8, 16)]),
        ("ssssssbbbbbbmmmmmm", [("speech", 0, 8), ("speech_over_music", 8, 14), ("music", 14, 22)]),
        ("ssssssbmmmmmm", [("speech", 0, 8.4), ("music", 8.4, 17)]),  # the overlap is split
        ("ssssss.ssssss", [("speech", 0, 17)]),  # a pause is not a segment
        ("mmmmmm......", [("music", 0, 8), ("other", 8, 16)]),
        ("m", [("music", 0, 5)]),
        (
            "ssssssmmmmsssssm",
            [("speech", 0, 8), ("music", 8, 12), ("speech", 12, 17.0), ("music", 17, 20)],
        ),
    ],
)
def test_pictures(text, expected):
    assert run(text) == expected


@examples(50)
@given(st.integers(50, 150), st.booleans())
def test_boundary_frames_date_what_windows_decide(fifth: int, comes: bool) -> None:
    """The windows are sure too early; the frames around their middles give the time."""
    items = [
        replace(
            decision,
            boundary_frames=tuple(
                (at, *((0.9, 0.1) if (at >= fifth * S // 5) == comes else (0.1, 0.9)))
                for at in range((5 * k + 10) * S // 5, (5 * k + 15) * S // 5, S // 5)
            ),
        )
        for k, decision in enumerate(decisions("s" * 40))
    ]
    found = segments(Smooth(SETTINGS).push([*items, EndOfStream("a", 44 * S, S)]))
    assert [s.label for s in found] == (["music", "speech"] if comes else ["speech", "music"])
    assert abs(found[1].start - fifth * S // 5) <= S // 5


texts = st.lists(st.sampled_from("smb."), min_size=1, max_size=60).map("".join)
probability = st.integers(0, 20).map(lambda tenths: tenths / 20)


@examples(200)
@given(st.lists(st.tuples(probability, probability), min_size=1, max_size=80))
def test_final_segments_cover_the_audio_without_overlap(values):
    items = [Decision("a", k * S, (k + 5) * S, S, None, *p) for k, p in enumerate(values)]
    end = (len(values) + 4) * S + 777
    found = segments(Smooth(SETTINGS).push([*items, EndOfStream("a", end, S)]))
    assert found[0].start == 0
    assert found[-1].end == end
    for before, after in itertools.pairwise(found):
        assert before.end == after.start
        assert before.label != after.label
        assert before.end - before.start >= S
    for segment in found:
        assert 0 <= segment.score <= 1


@given(texts, st.integers(0, 60))
def test_any_cutting_gives_the_same_events(text, at):
    items = [*decisions(text), EndOfStream("a", 10**9, S)]
    whole = Smooth(SETTINGS).push(items)
    stage = Smooth(SETTINGS)
    assert stage.push(items[:at]) + stage.push(items[at:]) == whole


@given(texts, texts)
def test_what_comes_later_never_changes_a_final_segment(text, more):
    early = segments(Smooth(SETTINGS).push(decisions(text)))
    late = segments(Smooth(SETTINGS).push(decisions(text + more)))
    assert late[: len(early)] == early


@given(texts, st.integers(0, 60))
def test_a_snapshot_goes_on_as_if_nothing_had_happened(text, at):
    items = [*decisions(text), EndOfStream("a", 10**9, S)]
    stage = Smooth(SETTINGS)
    first = stage.push(items[:at])
    snapshot = stage.snapshot(stage.sessions["a"])
    other = Smooth(SETTINGS)
    if snapshot is not None:
        other.restore(other.sessions["a"], snapshot)
    assert first + other.push(items[at:]) == Smooth(SETTINGS).push(items)


@pytest.mark.slow
def test_a_snapshot_of_an_hour_is_small():
    stage = Smooth(SETTINGS)
    stage.push(decisions("m" * 3600))
    assert len(json.dumps(asdict(stage.snapshot(stage.sessions["a"])))) < 2000


def test_an_open_segment_is_published_while_it_grows():
    found = segments(Smooth(SETTINGS).push(decisions("m" * 20)), final=False)
    assert [segment.end / S for segment in found] == [4.6, 9.6, 14.6, 19.6]
    assert {segment.id for segment in found} == {"a/segment/0"}


def test_stations_do_not_mix():
    a, b = decisions("ssssssmmmmmm"), decisions("mmmmmmssssss", "b")
    mixed = [item for pair in zip(a, b, strict=True) for item in pair]
    together = Smooth(SETTINGS).push(mixed)
    for station, alone in (("a", a), ("b", b)):
        assert [i for i in together if i.station == station] == Smooth(SETTINGS).push(alone)


@pytest.mark.slow
def test_hours_of_undecided_music_are_published_and_need_no_memory():
    smooth = Smooth(SETTINGS)
    out = []
    for k in range(3600):
        p_music = 0.9 if k < 30 else 0.45
        out += smooth.push([Decision("a", k * S, (k + 5) * S, S, None, 0.1, p_music)])
    assert segments(out, final=False)[-1].end > 3500 * S
    assert len(json.dumps(asdict(smooth.snapshot(smooth.sessions["a"])))) < 6000


@given(p=st.floats(0, 1), q=st.floats(0, 1), level=st.floats(0.01, 0.99))
def test_log_odds_are_bounded_monotone_and_zero_at_the_level(p, q, level):
    assert abs(log_odds(level, level)) < 1
    low, high = sorted((log_odds(p, level), log_odds(q, level)))
    assert -MAX_LOG_ODDS * SCALE <= low <= high <= MAX_LOG_ODDS * SCALE
    if p <= q:
        assert log_odds(p, level) <= log_odds(q, level)


@given(st.lists(st.tuples(probability, probability), min_size=1, max_size=80))
def test_a_segment_is_final_in_time(values):
    """A boundary is final at most `max_delay` and a step after the middle of a window passes it."""
    smooth = Smooth(SETTINGS)
    for k, p in enumerate(values):
        decision = Decision("a", k * S, (k + 5) * S, S, None, *p)
        middle = (decision.start + decision.end) // 2
        for segment in segments(smooth.push([decision])):
            assert middle - segment.end <= SETTINGS.max_delay + S


def test_a_boundary_is_dated_where_the_level_is_crossed():
    rising = [0.0, 0.0, 0.0, 0.25, 0.75, 1.0, 1.0, 1.0, 1.0]
    steps = [Decision("a", k * S, (k + 5) * S, S, None, p, 0.0) for k, p in enumerate(rising)]
    end = (len(rising) + 4) * S
    dated = {}
    for level in (0.25, 0.75):
        smooth = Smooth(replace(SETTINGS, speech_level=level))
        found = segments(smooth.push([*steps, EndOfStream("a", end, S)]))
        dated[level] = next(each.start for each in found if each.label == "speech")
    assert dated[0.75] - dated[0.25] == S
