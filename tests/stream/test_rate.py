from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.audio import AudioChunk, Discontinuity, EndOfStream, rescale
from stream.stages.resample import Resample
from stream.testing import chunks_of
from tests.examples import examples

RATE = 16000


def music(n: int, rate: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.convolve(rng.standard_normal(n), np.ones(8) / 8, "same").astype(np.float32)


def chunks(samples, rate, points, offset=0):
    return chunks_of(samples, cuts=points, rate=rate, start=offset)


def concat(items) -> tuple[int, np.ndarray]:
    audio = [item for item in items if isinstance(item, AudioChunk)]
    for before, after in itertools.pairwise(audio):
        assert after.start == before.end
    return audio[0].start, np.concatenate([item.samples for item in audio])


END = EndOfStream("a", 0, RATE)


@examples(25)
@given(st.lists(st.integers(1, 44099), max_size=8), st.sampled_from([8000, 44100, 48000]))
def test_any_cutting_gives_the_same_samples(points, rate):
    samples = music(rate, rate)
    whole = concat(Resample(RATE).push([*chunks(samples, rate, []), END]))
    stage = Resample(RATE)
    parts = [item for c in chunks(samples, rate, points) for item in stage.push([c])]
    start, values = concat(parts + stage.push([END]))
    assert start == whole[0] == 0
    assert np.array_equal(values, whole[1])
    assert len(values) == RATE


@pytest.mark.slow
@examples(25)
@given(st.integers(0, 320000), st.integers(0, 20000), st.sampled_from([8000, 44100, 48000]))
def test_a_restart_at_the_reported_position_gives_the_same_bits(sample, session, rate):
    samples = music(10 * rate + rate // 2, rate)[session:]
    stage = Resample(RATE)
    first, whole = concat(stage.push(chunks(samples, rate, [], offset=session)))
    sample = max(sample // 2, first)
    state = stage.sessions["a"]
    state.columns = True  # the columns have begun
    begin = stage.oldest(state, sample)
    assert first <= begin <= sample < begin + 2.1 * RATE + 1
    again = rescale(begin, RATE, rate)
    late = chunks(samples[again - session :], rate, [5000], offset=again)
    start, values = concat(Resample(RATE).push(late))
    assert start == begin
    assert np.array_equal(values[sample - begin :], whole[sample - first :])


def test_beginning_anywhere_is_soon_as_never_having_stopped():
    samples = music(132300, 44100)
    _, whole = concat(Resample(RATE).push([*chunks(samples, 44100, []), END]))
    for begin in (1, 441, 44099, 70001):
        late = chunks(samples[begin:], 44100, [], offset=begin)
        start, values = concat(Resample(RATE).push([*late, END]))
        assert 0 <= start - begin * RATE / 44100 <= 160
        assert np.allclose(values[1600:], whole[start + 1600 :], atol=1e-6)


def test_a_change_of_rate_leaves_no_hole():
    tone = np.sin(2 * np.pi * 440 * np.arange(48000) / 48000).astype(np.float32)
    first = AudioChunk("a", 0, tone[:44101], 48000)
    second = AudioChunk("a", 40519, tone[:22050], 44100)
    start, values = concat(Resample(RATE).push([first, second, END]))
    assert start == 0
    assert len(values) == round((40519 + 22050) * RATE / 44100)


def test_a_cut_ends_the_session_and_passes():
    cut = Discontinuity("a", RATE, 2 * RATE, RATE, "missing")
    out = Resample(RATE).push([*chunks(music(8000, 8000), 8000, []), cut])
    assert out[-1] is cut
    assert concat(out)[1].shape == (RATE,)


def test_a_change_of_rate_in_chunks_shorter_than_the_new_grid_leaves_no_hole():
    stage = Resample(RATE)
    short = chunks(music(11025, 11025), 11025, range(220, 11025, 220), offset=11094)
    parts = [i for c in [*chunks(music(16100, RATE), RATE, []), *short] for i in stage.push([c])]
    start, values = concat(parts + stage.push([END]))
    assert start == 0
    assert len(values) == round((11094 + 11025) * RATE / 11025)


@examples(40)
@given(st.integers(44100, 44540), st.sampled_from([8000, 11025, 22050, 24000, 48000]))
def test_a_change_of_rate_neither_moves_time_nor_repeats_a_sample(n, rate):
    second = AudioChunk("a", rescale(n, 44100, rate), music(rate, rate), rate)
    start, values = concat(Resample(RATE).push([*chunks(music(n, 44100), 44100, []), second, END]))
    assert start == 0
    assert abs(len(values) - second.end * RATE / rate) <= 1
