"""Restarts at any points, several in a row and while catching up, change no final event."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from stream.audio import AudioChunk
from stream.events import Decision, Gap, Match, Segment
from tests.stream.restarts import RATE, chunks, finals, make, programme, through_json

OPTIONS = [{"names": False, "voice": False}, {"names": True, "voice": True}]


def needed(log, snapshot):
    return [c for c in log if c.end * RATE > snapshot.oldest * c.rate]


def with_restarts(log, stops, options):
    """Push `log`; at each stop (chunks pushed since the last restart) go on in a new pipeline."""
    pipeline, out, rest, upto = make(**options), [], list(log), 0
    for stop in stops:
        out += [e for chunk in rest[:stop] for e in pipeline.push([chunk])]
        upto = len(log) - len(rest[stop:])
        snapshot = through_json(pipeline.snapshot("a"))
        pipeline = make(**options)
        assert pipeline.restore("a", snapshot)
        assert through_json(pipeline.snapshot("a")) == snapshot
        rest = needed(log[:upto], snapshot) + log[upto:]
    out += [e for chunk in rest for e in pipeline.push([chunk])]
    return finals(out + pipeline.push([], last=True))


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("rate", [RATE, 44100])
@pytest.mark.parametrize(
    "stops", [[41, 0], [41, 1], [60, 3, 3, 1], [75, 12, 30], [33, 2, 2, 2, 2, 2, 50, 1, 9]]
)
def test_restarts_close_together_lose_nothing(options, rate, stops):
    log = chunks(rate, 52, 0.5)
    whole = make(**options)
    expected = finals([e for c in log for e in whole.push([c])] + whole.push([], last=True))
    assert any("/match/" in name for name in expected) is options["names"]
    assert with_restarts(log, stops, options) == expected


@pytest.mark.slow
@pytest.mark.parametrize("rates", [(RATE, 44100), (44100, RATE), (44100, 48000), (8000, 44100)])
@pytest.mark.parametrize("stop", [19, 21, 23, 26, 30])
def test_a_restart_near_a_change_of_the_rate_loses_nothing(rates, stop):
    first, second = (chunks(rate, 30, 0.5) for rate in rates)
    log = first[:20] + second[20:]
    whole = make()
    expected = finals([e for c in log for e in whole.push([c])] + whole.push([], last=True))
    assert with_restarts(log, [stop], {}) == expected


@pytest.mark.slow
def test_a_hole_in_what_is_read_again_ends_the_station_where_it_had_come_to():
    log = chunks(RATE, 60, 0.5)
    for away in (1, 4, 12, 13, 40):
        first, second = make(names=True), make(names=True)
        before = [e for c in log[:70] for e in first.push([c])]
        snapshot = through_json(first.snapshot("a"))
        second.restore("a", snapshot)
        again = needed(log, snapshot)[away:]  # the rest was deleted, or cannot be decoded
        out = second.push(again, last=True)
        known = 35 * RATE
        assert snapshot.to_json()["align"] == known
        gaps = [(e.start, e.end) for e in out if isinstance(e, Gap)]
        assert gaps == ([(known, again[0].start)] if again[0].start > known else [])
        segments = [e for e in before + out if isinstance(e, Segment) and e.final]
        assert all(a.end <= b.start for a, b in pairwise(segments))
        assert all(e.start < e.end for e in before + out)
        assert any(s.end == known for s in segments)
        decided = [(e.id, e.final) for e in before + out if isinstance(e, Decision)]
        assert len(decided) == len(set(decided))
        assert all(e.end <= known for e in before if isinstance(e, Match))


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS)
def test_an_end_is_the_same_in_whichever_pipeline_it_comes(options):
    log = chunks(RATE, 40, 0.5)
    end = AudioChunk("a", 40 * RATE, np.zeros(0, np.float32), RATE, ends="sent")
    one = make(**options)
    expected = finals(one.push(log) + one.push([end]))
    assert expected == finals(make(**options).push(log, last=True))
    assert with_restarts([*log, end], [80, 3], options) == expected
    after = one.snapshot("a").to_json()
    assert (after["oldest"], after["align"]) == (40 * RATE, 40 * RATE)
    assert [after[part] for part in ("columns", "voice", "smooth", "identify")] == [None] * 4
    assert len(str(after)) < 500
    # Whoever ends it without its audio ends it where it had come to.
    first, second = make(**options), make(**options)
    before = first.push(log)
    second.restore("a", through_json(first.snapshot("a")))
    late = second.push([end])
    open_ = {e.id for e in before if not getattr(e, "final", True)} - finals(before).keys()
    assert open_
    assert open_ <= finals(late).keys() <= expected.keys()
    assert second.snapshot("a").to_json()["align"] == 40 * RATE


@pytest.mark.slow
@pytest.mark.parametrize("away_s", [0, 0.25, 90])
def test_a_station_that_returns_after_its_end_begins_anew(away_s):
    log, end = chunks(RATE, 30, 0.5), AudioChunk("a", 0, np.zeros(0, np.float32), RATE, ends="idle")
    first = round((30 + away_s) * RATE)
    again = [AudioChunk("a", first, programme(RATE, 30), RATE, time=10**6, gap_reason="why")]
    one = make(names=True)
    before = one.push([*log, end, end])
    after = one.push(again, last=True)
    assert not {e.id for e in before} & {e.id for e in after}
    gaps = [(e.start, e.end, e.reason) for e in after if isinstance(e, Gap)]
    assert gaps == ([(30 * RATE, first, "why")] if away_s else [])
    other = make(names=True)
    other.restore("a", through_json(_ended(log, end)))
    assert [e.to_json() for e in other.push(again, last=True)] == [e.to_json() for e in after]
    fresh = make(names=True).push(again, last=True)
    assert [e.to_json() for e in after if not isinstance(e, Gap)] == [e.to_json() for e in fresh]


def _ended(log, end):
    pipeline = make(names=True)
    pipeline.push([*log, end])
    return pipeline.snapshot("a")


def test_the_end_of_a_station_that_is_not_known_leaves_nothing():
    pipeline = make(names=True, voice=True)
    end = AudioChunk("a", 0, np.zeros(0, np.float32), RATE, ends="sent")
    assert pipeline.push([end]) == []
    assert pipeline.counts["chunks"] == 0
    assert pipeline.sessions == {}
