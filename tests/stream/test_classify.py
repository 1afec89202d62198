from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.audio import EndOfStream
from stream.events import Decision
from stream.stages.classify import Classify
from stream.stages.features import Columns
from tests.examples import examples

COLUMNS = np.random.default_rng(1).random((50 * 12, 144), np.float32) * 4


def spans(lengths, station="a", start=0):
    at = 0
    for n in lengths:
        yield Columns(station, start + at, COLUMNS[at : at + n])
        at += n


def decided(items):
    return [item for item in items if isinstance(item, Decision) and item.final]


@examples(25)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=12))
def test_any_cutting_gives_the_same_decisions(classifier, steps):
    lengths = [50 * n for n in steps][:12]
    while sum(lengths) > 600:
        lengths.pop()
    total = sum(lengths)
    whole = decided(Classify(classifier).push(list(spans([total])))) if total else []
    stage = Classify(classifier)
    parts = [d for span in spans(lengths) for d in decided(stage.push([span]))]
    assert [(d.start, d.end) for d in parts] == [(d.start, d.end) for d in whole]
    assert len(whole) == max(total // 50 - 4, 0)
    for a, b in zip(parts, whole, strict=True):
        assert abs(a.p_speech - b.p_speech) < 1e-5
        assert abs(a.p_music - b.p_music) < 1e-5


def test_a_decision_is_of_its_own_window_alone(classifier):
    stage = Classify(classifier)
    decision = decided(stage.push(list(spans([600]))))[3]
    alone = decided(Classify(classifier).push([Columns("a", 150, COLUMNS[150:400])]))[0]
    assert (decision.start, decision.end) == (alone.start, alone.end) == (48000, 128000)
    assert abs(decision.p_music - alone.p_music) < 1e-5


def test_a_batch_of_stations_is_as_each_alone(classifier):
    names = [f"s{k}" for k in range(20)]
    items = [Columns(name, 50 * k, COLUMNS[:300]) for k, name in enumerate(names)]
    together = decided(Classify(classifier).push(items))
    for k, name in enumerate(names):
        alone = decided(Classify(classifier).push([Columns(name, 50 * k, COLUMNS[:300])]))
        mine = [d for d in together if d.station == name]
        assert [d.id for d in mine] == [d.id for d in alone]
        assert all(abs(a.p_speech - b.p_speech) < 1e-5 for a, b in zip(mine, alone, strict=True))


def test_a_cut_ends_the_session(classifier):
    stage = Classify(classifier)
    cut = EndOfStream("a", 64000, 16000)
    out = stage.push([Columns("a", 0, COLUMNS[:200]), cut, Columns("a", 200, COLUMNS[200:450])])
    kinds = [type(item) for item in out if getattr(item, "final", True)]
    assert kinds == [Columns, Decision, EndOfStream, Columns, Decision]
    assert [(d.start, d.end) for d in decided(out)] == [(0, 64000), (64000, 144000)]
