"""The mono audio contains the sound of every channel, however the audio was cut."""

from __future__ import annotations

import itertools
import logging
from functools import cache, partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.audio import AudioChunk, Discontinuity, EndOfStream
from stream.decoding.channels import ChannelWeights
from stream.stages.mono import MonoMixer, ToMono, mean
from stream.telemetry.channel_faults import FAULTS
from stream.testing import chunks_of, music_like, speech_like
from tests.examples import examples

RATE = 8000
voice = partial(speech_like, rate=RATE)
music = partial(music_like, rate=RATE)
EXAMPLES = examples(20)


def noise(seconds: float, channels: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 0.1 * rng.standard_normal((round(seconds * RATE), channels)).astype(np.float32)


def mix(samples: np.ndarray, rate: int = RATE, start: int = 0, cuts: tuple = ()) -> np.ndarray:
    mixer = MonoMixer(samples.shape[1], rate, start)
    edges = [0, *sorted(cuts), len(samples)]
    parts = [mixer.push(samples[a:b])[0] for a, b in itertools.pairwise(edges)]
    return np.concatenate([*parts, mixer.flush()[0]])


def stereo(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.stack([left, right], axis=1)


@cache
def programme(channels: int, seed: int = 7) -> np.ndarray:
    """Return 15 s in which everything happens to the channels."""
    rng, parts = np.random.default_rng(seed), []
    for k in range(6):
        v, m = voice(2.5, seed=seed + k), music(2.5, seed=seed + k)
        out = noise(2.5, channels, seed + k) * rng.choice([0, 1, 0.01])
        kind = rng.integers(6)
        out[:, 0] += v * (kind != 0) + m * (kind in (1, 2, 3))
        out[:, 1] += v * (kind not in (0, 3)) + m * [0, 1, -1, -1, 0, 0.5][kind]
        parts.append(out)
    return np.concatenate(parts).astype(np.float32)


@pytest.mark.slow
@EXAMPLES
@given(data=st.data(), channels=st.sampled_from([2, 3, 6]), start=st.integers(0, 3000))
def test_samples_do_not_depend_on_how_audio_is_cut(data, channels, start) -> None:
    samples = programme(channels)
    cuts = data.draw(st.lists(st.integers(0, len(samples)), max_size=40))
    assert np.array_equal(mix(samples, start=start, cuts=cuts), mix(samples, start=start))


@pytest.mark.slow
@EXAMPLES
@given(
    data=st.data(),
    channels=st.sampled_from([2, 6]),
    start=st.integers(0, 30_000),
    size=st.integers(50, 9000),
)
def test_what_is_repeated_from_where_it_is_needed_is_the_same(data, channels, start, size) -> None:
    samples = programme(channels)
    chunks = chunks_of(samples, size, rate=RATE, start=start)
    stage = ToMono(RATE)
    stop = data.draw(st.integers(1, len(chunks)))
    before = stage.push(chunks[:stop])
    sample = data.draw(st.integers(start, start + stop * size))
    session = stage.sessions["a"]
    session.resample = True  # the next stage has begun
    needed = stage.oldest(session, sample)
    assert sample - 4.3 * RATE <= needed <= sample
    whole = joined(before + stage.push([*chunks[stop:], END]))
    again = ToMono(RATE)
    part = samples[max(needed - start, 0) :]
    repeated = joined(again.push([AudioChunk("a", max(needed, start), part, RATE), END]))
    assert np.array_equal(repeated[max(sample - max(needed, start), 0) :], whole[sample - start :])


END = EndOfStream("a", 0, RATE)


def joined(chunks: list) -> np.ndarray:
    """Return the samples of chunks, which follow one another."""
    chunks = [chunk for chunk in chunks if isinstance(chunk, AudioChunk)]
    assert all(a.end == b.start for a, b in itertools.pairwise(chunks))
    return np.concatenate([chunk.samples for chunk in chunks])


ORDINARY = {
    "two that are equal": lambda v, m: (v + m, v + m),
    "music on both sides, not the same": lambda v, m: (v + m, v + music(20, seed=5)),
    "voices on two sides": lambda v, m: (v, voice(20, seed=3)),
    "one channel alone": lambda v, m: (v + m, 0 * m),
    "voice left, music right": lambda v, m: (v, m),
    "panned": lambda v, m: (v + 0.9 * m, v + 0.2 * m),
    "other gain": lambda v, m: (v + m, 0.1 * (v + m)),
    "noise delayed by 15 ms": lambda v, m: (noise(20, 1)[:, 0], np.roll(noise(20, 1)[:, 0], 120)),
    "noise": lambda v, m: tuple(noise(20, 2).T),
    "silence": lambda v, m: (0 * v, 0 * v),
    "a mono voice, wide noise": lambda v, m: tuple((v[:, None] + noise(20, 2)).T),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_stereo_is_the_mean_to_the_last_bit(name) -> None:
    samples = stereo(*ORDINARY[name](voice(20), music(20))).astype(np.float32)
    assert np.array_equal(mix(samples), samples.mean(axis=1))


@pytest.mark.parametrize("channels", [3, 4, 6, 8])
def test_several_channels_that_agree_are_their_mean(channels) -> None:
    samples = noise(10, channels) + music(10)[:, None]
    assert np.array_equal(mix(samples), mean(samples))


def test_many_channels_are_their_mean() -> None:
    samples = noise(2, 24)
    assert np.array_equal(mix(samples), mean(samples))


def power_share(samples: np.ndarray, wanted: np.ndarray) -> float:
    """Return the share of the power of `wanted` in `samples`, at any level and sign."""
    gain = float(samples @ wanted) / float(wanted @ wanted)
    return 1 - float(np.square(samples / gain - wanted).sum() / np.square(wanted).sum())


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("what", [voice, music])
def test_one_inverted_channel_changes_nothing_but_the_sign(rate, what) -> None:
    sound = what(6, rate=rate)
    mixed = mix(stereo(sound, -sound), rate)
    assert np.allclose(np.abs(mixed), np.abs(sound), atol=1e-6)


@pytest.mark.parametrize("db", [-10, 0, 10])
def test_music_in_opposite_phase_is_mixed_in_under_speech(db) -> None:
    v, m = voice(30), music(30)
    m *= np.sqrt(np.square(v).sum() / np.square(m).sum()) * 10 ** (-db / 20)
    mixed = mix(stereo(v + m, v - m))
    assert power_share(mixed[RATE:] - v[RATE:], m[RATE:]) > 0.9


def test_an_inverted_channel_of_a_wide_programme_is_as_if_it_were_not_inverted() -> None:
    ambience = 0.2 * noise(20, 2)
    left, right = (music(20) + ambience.T).astype(np.float32)
    assert np.allclose(mix(stereo(left, -right)), mix(stereo(left, right)), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [3, 4, 6, 8])
@pytest.mark.parametrize("pair", [(0, 1), (1, 2)])
def test_a_pair_in_opposite_phase_is_mixed_in_among_other_channels(channels, pair) -> None:
    v, m = voice(20), music(20)
    samples = np.zeros((len(v), channels), np.float32)
    samples[:, 2] += v
    samples[:, pair[0]] += m
    samples[:, pair[1]] -= m
    mixed = mix(samples)
    voices = (mixed @ v) / (v @ v)
    assert abs(voices) > 0.05
    assert power_share(mixed - voices * v, m) > 0.9


def test_two_pairs_in_opposite_phase_are_both_mixed_in() -> None:
    a, b = music(20, seed=1), music(20, seed=2)
    mixed = mix(np.stack([a, -a, b, -b], axis=1))
    gains = []
    for k in range(0, len(a), RATE // 2):  # signs may change with the music
        part = slice(k, k + RATE // 2)
        gains.append(np.linalg.lstsq(np.stack([a, b], 1)[part], mixed[part], rcond=None)[0])
    assert (np.abs(gains) > 0.2).mean() > 0.9


def test_a_mixture_changes_without_a_click() -> None:
    # A steady tone in phase all the time, one in opposite phase from 5 s to 10 s.
    t = np.arange(20 * RATE) / RATE
    steady = 0.2 * np.sin(2 * np.pi * 400 * t)
    other = 0.2 * np.sin(2 * np.pi * 1500 * t) * np.clip((t - 5) * 10, 0, 1) * (t < 10)
    mixed = mix(stereo(steady + other, steady - other).astype(np.float32)).astype(float)
    jumps = np.abs(np.diff(mixed, 2))
    largest = 0.2 * (2 * np.pi * 400 / RATE) ** 2 + 0.2 * (2 * np.pi * 1500 / RATE) ** 2
    around_the_end = slice(10 * RATE - 2, 10 * RATE + 2)  # where the tone itself breaks off
    jumps[around_the_end] = 0
    assert jumps.max() < 1.1 * largest
    assert power_share(mixed[6 * RATE : 9 * RATE], (steady + other)[6 * RATE : 9 * RATE]) > 0.99
    assert power_share(mixed[15 * RATE :], steady[15 * RATE :]) > 0.999


def test_mono_passes_at_once_as_the_object_it_is() -> None:
    chunk = AudioChunk("a", 5, music(1), RATE, 3.0)
    assert ToMono(RATE).push([chunk]) == [chunk]


def test_what_is_held_back_comes_before_a_cut_and_a_change_of_channels() -> None:
    stage = ToMono(RATE)
    cut = Discontinuity("a", 2000, 2000, RATE, "missing")
    one = AudioChunk("a", 100, noise(0.07, 2), RATE, 9.0)
    other = AudioChunk("a", one.end, noise(0.3, 1)[:, 0], RATE)
    out = stage.push([one, other, cut])
    assert [type(item) for item in out] == [AudioChunk, AudioChunk, Discontinuity]
    assert joined(out[:2]).shape == (len(one.samples) + len(other.samples),)
    assert (out[0].start, out[0].time) == (100, 9.0)
    assert stage.sessions["a"].mono is None


@pytest.mark.slow
@given(sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=30))
def test_mono_chunks_know_when_their_first_sample_was(sizes) -> None:
    stage, at, chunks = ToMono(RATE), 1234, []
    for size in sizes:
        samples = noise(1, 2)[:size]
        chunks.append(AudioChunk("a", at, samples, RATE, at / RATE + 50))
        at += len(samples)
    *out, _ = stage.push([*chunks, END])
    assert len(joined(out)) == at - 1234
    assert all(chunk.time == pytest.approx(chunk.start / RATE + 50) for chunk in out)


FAULTY = {
    "inverted": (lambda v, m: (v + m, -v - m), "channel 2 of 2 has the opposite sign"),
    "cancelled": (lambda v, m: (v + m, v - m), "channel 2 of 2 cancels parts of the others"),
    "silent": (lambda v, m: (v + m, 0 * v), "channel 2 of 2 is silent while the other"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_a_fault_is_logged_once_and_its_end_once(fault, caplog) -> None:
    make, line = FAULTY[fault]
    v, m = voice(20), music(20)
    samples = np.concatenate([stereo(*make(v, m)), stereo(0 * v, 0 * v), stereo(v + m, v + m)])
    before = FAULTS.copy()
    with caplog.at_level(logging.WARNING):
        stage = ToMono(RATE)
        for k in range(0, len(samples), 700):
            stage.push([AudioChunk("a", k, samples[k : k + 700].astype(np.float32), RATE)])
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert messages[0].startswith(line)
    assert messages[1] == "the fault of its 2 channels is gone: their mean is used"
    assert {record.station for record in caplog.records} == {"a"}
    assert FAULTS - before == {fault: 1}


def test_a_silent_surround_channel_is_no_fault(caplog) -> None:
    samples = np.zeros((20 * RATE, 6), np.float32)
    samples[:, 2] = voice(20)
    ToMono(RATE).push([AudioChunk("a", 0, samples, RATE)])
    assert not caplog.records


def test_audio_that_is_not_finite_harms_no_other_block() -> None:
    samples = stereo(music(20), -music(20))
    spoilt = samples.copy()
    spoilt[8000:8010] = np.nan
    spoilt[9000, 0] = np.inf
    mixed, expected = mix(spoilt), mix(samples)
    assert np.array_equal(mixed[:8000], expected[:8000])
    assert power_share(mixed[16_000:], music(20)[16_000:]) > 0.99


@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_the_tiles_of_a_block_have_the_same_bits_alone_and_among_others(channels, rate) -> None:
    """Several rows are transformed at a time, and the last ones one by one."""
    weights = ChannelWeights(channels, rate)
    blocks = np.random.default_rng(1).standard_normal((channels, 11, weights.block), np.float32)
    together = weights._tiles(blocks)
    for a, b in itertools.combinations(range(12), 2):
        assert np.array_equal(weights._tiles(blocks[:, a:b]), together[:, a:b])
