from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.backend import columns_of
from stream.audio import AudioChunk, EndOfStream
from stream.stages.features import Columns, ComputeColumns
from stream.testing import chunks_of, programme
from tests.examples import examples
from tests.stream.networks import FRONT_END

RATE = 16000


def stage() -> ComputeColumns:
    return ComputeColumns(FRONT_END, 50)


def joined(items, station="a"):
    runs = [item for item in items if isinstance(item, Columns) and item.station == station]
    for before, after in itertools.pairwise(runs):
        assert after.start == before.start + len(before.values)
    assert all((run.start + len(run.values)) % 50 == 0 for run in runs[:-1])  # whole steps
    return runs[0].start, np.concatenate([run.values for run in runs])


def end(sample, station="a"):
    return EndOfStream(station, sample, RATE)


@pytest.mark.slow
@examples(15)
@given(st.lists(st.integers(1, 5 * RATE), max_size=10))
def test_any_cutting_gives_the_columns_of_the_whole(points):
    samples = programme(5.3)
    items = [*chunks_of(samples, cuts=points), end(len(samples))]
    one = stage()
    start, values = joined([out for item in items for out in one.push([item])])
    whole = columns_of(samples[None], FRONT_END)[0]
    assert (start, len(whole)) == (0, 265)
    np.testing.assert_allclose(values, whole, atol=1e-3, rtol=1e-4)


def test_a_step_comes_as_soon_as_its_latency_allows():
    one, samples = stage(), programme(3)
    needed = RATE + FRONT_END.latency
    early = AudioChunk("a", 0, samples[: needed - 1], RATE)
    assert one.push([early]) == [early]
    out = one.push([AudioChunk("a", needed - 1, samples[needed - 1 : needed], RATE)])
    assert [len(run.values) for run in out[1:]] == [50]


@pytest.mark.parametrize("start", [0, 100, 16000, 12345 * 16000 + 77])
def test_the_grid_is_the_stations_not_the_sessions(start):
    samples = programme(4)
    first, values = joined(
        stage().push([AudioChunk("a", start, samples, RATE), end(start + 64000)])
    )
    assert first == -(-start // 320)
    assert first + len(values) == -(-(start + 64000) // 320)


@pytest.mark.slow
def test_many_stations_at_once_are_as_each_alone():
    audio = {f"s{k}": programme(2.5, seed=k) for k in range(20)}
    chunks = [AudioChunk(name, 0, samples, RATE) for name, samples in audio.items()]
    together = stage().push([*chunks, *(end(40000, name) for name in audio)])
    for chunk in chunks[::7]:
        alone = stage().push([chunk, end(40000, chunk.station)])
        np.testing.assert_allclose(
            joined(together, chunk.station)[1], joined(alone, chunk.station)[1], atol=1e-4, rtol=0
        )


def test_a_cut_begins_anew():
    samples = programme(2)
    one = stage()
    first = one.push([AudioChunk("a", 0, samples, RATE), end(2 * RATE)])
    again = one.push([AudioChunk("a", 0, samples, RATE), end(2 * RATE)])
    assert isinstance(first[-1], EndOfStream)
    assert np.array_equal(joined(first)[1], joined(again)[1])


def test_resuming_from_the_oldest_sample_gives_the_same_columns():
    samples = programme(9)
    one = stage()
    one.push([AudioChunk("a", 0, samples[: 4 * RATE + 9000], RATE)])
    oldest = one.oldest(one.sessions["a"], 10**9)
    whole = joined(stage().push([AudioChunk("a", 0, samples, RATE), end(9 * RATE)]))[1]
    resumed = stage()
    resumed.restore(resumed.sessions["a"], 200)
    start, values = joined(
        resumed.push([AudioChunk("a", oldest, samples[oldest:], RATE), end(9 * RATE)])
    )
    assert start == 200
    np.testing.assert_allclose(values, whole[200:], atol=1e-4, rtol=0)
    assert 4 * RATE - oldest < RATE


@pytest.mark.parametrize("length", [1, 320, 321, 8000, 15999])
@pytest.mark.parametrize("start", [0, 960, 15680])
def test_a_session_shorter_than_a_step_has_all_its_columns(start, length):
    samples = programme(1)[:length]
    out = stage().push([AudioChunk("a", start, samples, RATE), end(start + length)])
    first, values = joined(out)
    assert first == start // 320
    whole = columns_of(samples[None], FRONT_END)[0]
    np.testing.assert_allclose(values, whole, atol=1e-3, rtol=1e-4)


def test_a_station_holds_only_the_samples_of_its_unfinished_step():
    """Views would keep whole chunks, and the columns of stations that were computed together."""
    computing = stage()
    chunks = [AudioChunk(f"s{k}", 0, np.ones(10 * RATE + 7, np.float32), RATE) for k in range(5)]
    out = computing.push(chunks)
    for session in computing.sessions.values():
        held = session.columns.pending
        assert sum(piece.nbytes for piece in held) <= 4 * RATE
        assert all(piece.base is None for piece in held)
    found = [item for item in out if isinstance(item, Columns)]
    assert len(found) == 5
    assert all(item.values.base is None for item in found)
