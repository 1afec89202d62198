"""Identification within a budget: what is left out, what is not, and that it is repeatable."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from fingerprint.catalogue import Catalogue
from fingerprint.matching.base import CountingMatcher
from fingerprint.matching.matcher import LandmarkMatcher
from fingerprint.matching.work import Work
from fingerprint.track import Track
from stream.audio import AudioChunk, Discontinuity, EndOfStream
from stream.events import Decision, Match
from stream.stages.identify import Identify
from stream.stages.matchers import for_all
from stream.stages.smooth import Smooth
from stream.stages.work_budget import WorkBudget
from tests.fingerprint.music import compose
from tests.stream.doubles import SMOOTH
from tests.stream.restarts import chunks, finals, make, through_json
from tests.stream.sample_matcher import TIMES, S, SampleMatcher

TEXT = "s" * 12 + "m" * 40 + "s" * 25 + "m" * 20


class CountedMatcher(SampleMatcher):
    """Counts a unit for each second of a query; ten for one with warp search."""

    def __init__(self, least=2 * S, per_s=1):
        super().__init__(least)
        self.per_s = per_s
        self.work = Work()

    def match(self, landmarks):
        self.work.units += self.per_s * round((landmarks.end - landmarks.start) / S)
        return super().match(landmarks)


def items(text=TEXT, track_from=30):
    """Audio and decisions of one letter a second; the track plays from a second on."""
    audio = np.zeros((len(text) + 4) * S, np.float32)
    audio[track_from * S :] = np.arange(len(audio) - track_from * S) + 1
    p = {"s": (0.95, 0.05), "m": (0.05, 0.95)}
    decisions = [Decision("a", k * S, (k + 5) * S, S, None, *p[c]) for k, c in enumerate(text)]
    return audio, decisions


def budget(per_s, burst=None):
    return WorkBudget(per_s, burst or 30 * per_s, S) if per_s else None


def run(per_s=None, *, burst=None, step=1, restart_at=None, breaks=(), least=10**9):
    """Return everything that passes, and the stage; nothing is known unless `least` is small."""
    audio, decisions = items()

    def stage():
        warping = CountedMatcher(10**9, per_s=10)
        return Identify(for_all(CountedMatcher(least), warping), TIMES, budget=budget(per_s, burst))

    smooth, identify, out, skipped = Smooth(SMOOTH), stage(), [], 0
    for first in range(0, len(decisions), step):
        group = decisions[first : first + step]
        start = 0 if first == 0 else group[0].end - S
        stop = group[-1].end
        chunk = AudioChunk("a", start, audio[start:stop], S)
        out += identify.push([chunk, *smooth.push(group)])
        if first in breaks:
            out += identify.push(smooth.push([Discontinuity("a", stop, stop, S, "gap")]))
        if first == restart_at:
            session = identify.sessions["a"]
            state, oldest = identify.snapshot(session), identify.oldest(session, stop)
            skipped += identify.paid.skipped.total()
            identify = stage()
            identify.sessions["a"].work = replace(session.work)
            if state is not None:
                identify.restore(identify.sessions["a"], state)
                identify.push([AudioChunk("a", oldest, audio[oldest:stop], S)])
    out += identify.push(smooth.push([EndOfStream("a", len(audio), S)]))
    return out, identify, skipped + identify.paid.skipped.total()


def work_of(identify):
    """Return the work of both matchers."""
    known = identify.matchers_of("a")
    return known.plain.work.units + known.warping.work.units


def matches(out):
    return [item for item in out if isinstance(item, Match)]


def rest(out):
    return [item for item in out if not isinstance(item, Match | AudioChunk)]


def test_a_budget_that_is_never_spent_changes_nothing():
    for least in (10**9, 2 * S):
        (expected, _, _), (out, identify, skipped) = run(least=least), run(10**6, least=least)
        assert rest(out) == rest(expected)
        assert matches(out) == matches(expected)
        assert skipped == 0
        assert identify.matchers_of("a").plain.queries
        assert (least > S * 60) or matches(out)


@pytest.mark.parametrize("per_s", [1, 2, 5, 20])
def test_segments_do_not_depend_on_the_budget(per_s):
    expected, out = run()[0], run(per_s)[0]
    assert rest(out) == rest(expected)
    assert any(item.kind == "segment" for item in rest(out))


def test_warp_searches_are_left_out_first_and_short_queries_last():
    left_out = [run(per_s)[1].paid.skipped for per_s in range(1, 60)]
    assert all(skipped["warp"] for skipped in left_out if skipped["long"])
    assert all(skipped["long"] for skipped in left_out if skipped["short"])
    for kind in ("short", "long", "warp"):
        assert left_out[0][kind]
        assert not left_out[-1][kind]


@pytest.mark.parametrize("per_s", [1, 3, 10])
def test_the_work_of_a_programme_is_what_its_audio_is_worth_and_a_burst(per_s):
    _, identify, skipped = run(per_s)
    audio, _ = items()
    done = work_of(identify)
    longest = 3 * 30 + 10 * 30 + 6  # of each kind, a query with all its passes
    assert done <= per_s * len(audio) / S + 3 * 30 * per_s + longest
    assert skipped


@pytest.mark.parametrize("per_s", [1, 4, 10])
def test_neither_the_size_of_pushes_nor_a_restart_changes_what_is_left_out(per_s):
    out, identify, skipped = run(per_s, least=12 * S)
    for step in (7, 100):
        other, cut, _ = run(per_s, least=12 * S, step=step)
        assert matches(other) == matches(out)
        assert cut.paid.skipped == identify.paid.skipped
        assert cut.matchers_of("a").plain.queries == identify.matchers_of("a").plain.queries
    for moment in range(0, len(TEXT), 3):
        again, _, skipped_again = run(per_s, least=12 * S, restart_at=moment)
        assert matches(again) == matches(out), f"after decision {moment}"
        assert skipped_again == skipped


def test_a_break_in_the_audio_pays_nothing():
    """Otherwise a station with a fault every few seconds would cost a burst each time."""
    breaks = range(5, len(TEXT), 12)
    _, identify, skipped = run(1, breaks=breaks, burst=10)
    audio, _ = items()
    done = work_of(identify)
    assert done <= len(audio) / S + 3 * 10 + 3 * 12 + 10 * 12 + 6
    assert skipped
    for moment in breaks:  # also of a restart that comes before any other audio
        assert run(1, breaks=breaks, burst=10, restart_at=moment)[2] == skipped


def test_a_new_stream_of_the_station_begins_with_all_of_its_budget():
    _, identify, _ = run(1)
    assert identify.sessions["a"].work is None


def test_the_log_has_one_line_for_each_station(caplog):
    with caplog.at_level(logging.WARNING):
        _, _, skipped = run(1)
    (line,) = caplog.records
    assert skipped > 10
    assert line.station == "a"
    assert "identify.max_work" in line.getMessage()


def test_a_matcher_that_does_not_count_is_never_left_out():
    audio, decisions = items()
    matcher = SampleMatcher(10**9)
    assert not isinstance(matcher, CountingMatcher)
    smooth, identify = Smooth(SMOOTH), Identify(for_all(matcher), TIMES, budget=budget(1))
    identify.push([AudioChunk("a", 0, audio, S), *smooth.push(decisions)])
    assert matcher.queries
    assert not identify.paid.skipped


@pytest.mark.slow
def test_the_same_tracks_cost_the_same_whatever_segments_hold_them(tmp_path):
    shelf = Catalogue.create(tmp_path / "shelf")
    for seed in range(3):
        shelf.add(compose(seed, 20.0), Track(f"{seed}"))
    queries = [compose(seed, 20.0)[:160_000] for seed in (0, 2, 7)]
    costs = []
    for _ in range(2):
        for warp_search in (False, True):
            matcher = LandmarkMatcher(shelf, warp_search=warp_search)
            assert isinstance(matcher, CountingMatcher)
            for query in queries:
                before = matcher.work.units
                matcher.match(matcher.extract(query))
                costs.append(matcher.work.units - before)
        shelf.merge()
    shelf.close()
    assert costs[:6] == costs[6:]
    first_pass, both = costs[:3], costs[3:6]
    assert first_pass[:2] == both[:2]  # what is known needs no second pass
    assert both[2] > 3 * first_pass[2]


def pipeline(per_s, **options):
    """A pipeline whose stations may spend so much."""
    made = make(names=True, **options)
    (stage,) = (stage for stage in made.stages if isinstance(stage, Identify))
    stage.paid.budget = budget(per_s)
    return made


def published(made, some, restart_at=None):
    """Return the final events of chunks, those of a restart included."""
    out = []
    for number, chunk in enumerate(some):
        out += made.push([chunk])
        if number == restart_at:
            stored = through_json(made.snapshot("a"))
            fresh = pipeline(made.stages[-1].paid.budget.per_s)
            assert fresh.restore("a", stored)
            assert through_json(fresh.snapshot("a")) == stored
            again = [c for c in some[: number + 1] if c.end > stored.oldest]
            out += [event for c in again for event in fresh.push([c])]
            made = fresh
    out += made.push([], last=True)
    return finals(out)


@pytest.mark.slow
def test_a_pipeline_within_a_budget_publishes_the_same_after_any_restart():
    some = list(chunks(S, 60, 1.0))
    plenty, none = published(pipeline(10**9), some), published(make(names=True), some)
    assert plenty == none
    for per_s in (2_000, 5_000, 10_000):
        made = pipeline(per_s)
        expected = published(made, some)
        assert made.queries_skipped["short"] > 0
        assert expected != none
        of_segments = {key: line for key, line in expected.items() if "match" not in key}
        assert of_segments == {key: line for key, line in none.items() if "match" not in key}
        for moment in range(3, 60, 7):
            assert published(pipeline(per_s), some, restart_at=moment) == expected, moment
