"""A damaged snapshot is rejected; a valid one can be restored, with any content."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.audio import AudioChunk
from stream.snapshot import Snapshot, StoredSnapshot
from stream.stages.clock import ClockState
from tests.examples import examples
from tests.stream.damaged_json import change, places, replacement
from tests.stream.restarts import RATE, chunks, make


def stored(value):
    """Return a value of JSON's types as a store gives it back; it need not be a snapshot."""
    return StoredSnapshot(json.dumps(value).encode(), 0)


@pytest.fixture(scope="module")
def real():
    """Return snapshots of a station in speech, in music with a name, and after its end."""
    pipeline, out = make(names=True, voice=True), []
    for at, chunk in enumerate(chunks(RATE, 52, 0.5)):
        pipeline.push([chunk])
        if at in (9, 40, 62, 75, 96):
            out.append(pipeline.snapshot("a").to_json())
    pipeline.push([AudioChunk("a", 0, np.zeros(0, np.float32), RATE, ends="sent")])
    return [*out, pipeline.snapshot("a").to_json()]


def test_what_a_pipeline_gives_is_a_snapshot(real):
    assert [StoredSnapshot.of_json(each, "a").to_json() for each in real] == real
    assert [Snapshot.from_json(snapshot).to_json() for snapshot in real] == real
    assert {snapshot["identify"] is None for snapshot in real} == {True, False}
    assert any(snapshot["identify"] and snapshot["identify"]["playings"] for snapshot in real)


@pytest.mark.slow
@examples(60)
@given(st.data())
def test_a_snapshot_is_restored_whole_or_not_at_all(real, data):
    """A restored pipeline goes on without an error."""
    state = data.draw(st.sampled_from(real))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(state)))
        state = change(state, path, replacement(data))
    pipeline = make(names=True, voice=True)
    fresh = make(names=True, voice=True)
    if pipeline.restore("a", stored(state)):
        assert pipeline.snapshot("a") == StoredSnapshot.of_json(state)
        start = state["align"]
        log = chunks(RATE, 16, 2.0, seed=1)
    else:
        assert pipeline.snapshot("a") == fresh.snapshot("a")
        return
    moved = [AudioChunk("a", start + c.start, c.samples, RATE, c.time) for c in log]
    end = AudioChunk("a", 0, np.zeros(0, np.float32), RATE, ends="sent")
    for chunk in [*moved, end, *moved]:
        for event in pipeline.push([chunk]):
            event.to_json()
            assert event.station == "a"
    StoredSnapshot.of_json(pipeline.snapshot("a").to_json())


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"null", b"[]", b'"x"', b"7", b"{}", b'{"version":1}',
     b'{"version":99,"columns":"x"}', b"[" * 10_000 + b"]" * 10_000,
     b'{"version":1,"oldest":' + b"[" * 10_000 + b"]" * 10_000 + b"}"],
    ids=range(11),
)  # fmt: skip
def test_what_is_no_snapshot_leaves_the_station_as_new(data):
    pipeline = make()
    log = chunks(RATE, 12, 0.5)
    assert pipeline.restore("a", StoredSnapshot(data, 0)) is False
    expected = [e.to_json() for e in make().push(log, last=True)]
    assert [e.to_json() for e in pipeline.push(log, last=True)] == expected


def test_a_match_of_another_station_is_not_published(real):
    state = next(s for s in real if s["identify"] and s["identify"]["playings"])
    assert not make(names=True).restore("b", stored(state))


def test_a_snapshot_of_a_model_with_other_columns_is_not_used(real):
    for name, value in (("rate", 8000), ("hop", 160)):
        state = {**real[0], name: value, "smooth": None}
        assert not make().restore("a", StoredSnapshot.of_json(state))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_not_stored(number):
    clock = ClockState(number, [(0.0, 1.0)], 2.0)
    with pytest.raises(ValueError, match="no number"):
        Snapshot.of({"clock": clock}, rate=RATE, hop=320, oldest=0).encode()


def test_what_is_stored_is_one_line_without_control_codes(real):
    clock = ClockState(0.0, [(0.0, 1.0)], 2.0, open={"a\x7f\x85\u2028\n": 1.0})
    for snapshot in (
        Snapshot.of({"clock": clock}, rate=RATE, hop=320, oldest=0),
        *map(Snapshot.from_json, real),
    ):
        kept = snapshot.encode()
        assert kept.data.decode().isprintable()
        assert kept.to_json() == snapshot.to_json()
