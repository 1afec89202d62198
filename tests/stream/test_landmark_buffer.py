"""Landmarks of audio in pieces equal those of the whole."""

from functools import cache

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fingerprint.analysis.landmarks import Landmarks
from fingerprint.analysis.peaks import extract, extract_next
from fingerprint.settings import EDGE, HOP
from stream.audio import AudioChunk
from stream.stages.landmark_buffer import LandmarkBuffer
from tests.examples import examples

S = 16_000
LENGTH = 20 * S


@cache
def music():
    """Notes of any pitch, one after another, over a little noise."""
    rng = np.random.default_rng(1)
    out = 0.01 * rng.standard_normal(LENGTH)
    time = np.arange(S) / S
    for start in range(0, LENGTH - S, S // 8):
        note = np.sin(2 * np.pi * rng.uniform(150, 5000) * time) * np.exp(-4 * time)
        out[start : start + S] += rng.uniform(0.1, 0.5) * note
    return out.astype(np.float32)


@cache
def whole():
    return extract(music())


def same(a, b):
    return all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ("time", "bin", "rank")
    )


@examples(12)
@given(
    start=st.integers(0, 4 * S),
    questions=st.lists(st.integers(4 * S, LENGTH - EDGE), min_size=1, max_size=4).map(sorted),
    chunk=st.sampled_from([960, 4096, LENGTH]),
    restart=st.integers(0, 3),
)
def test_piece_by_piece_is_as_the_whole(start, questions, chunk, restart):
    buffer = LandmarkBuffer()
    buffer.begin(start)
    chunks = [AudioChunk("a", k, music()[k : k + chunk], S) for k in range(0, LENGTH, chunk)]
    buffer.audio.extend(chunks)
    for index, to in enumerate(questions):
        buffer.extend(extract_next, to, to + EDGE)
        buffer.drop_audio(buffer.landmarks.end - EDGE)
        if index == restart:
            buffer = LandmarkBuffer(buffer.audio_from, Landmarks.unpack(buffer.landmarks.pack()))
            buffer.audio.extend(c for c in chunks if c.end > buffer.audio_from)
    expected = whole().between(start, questions[-1])
    assert len(expected) > 0
    assert same(buffer.landmarks, expected)


def test_where_the_audio_ends_it_is_as_the_whole_too():
    buffer = LandmarkBuffer()
    buffer.begin(0)
    buffer.audio.append(AudioChunk("a", 0, music(), S))
    buffer.extend(extract_next, 7 * S, 7 * S + EDGE)
    buffer.extend(extract_next, LENGTH, LENGTH)
    assert same(buffer.landmarks, whole().between(0, LENGTH))


def test_without_its_audio_there_are_no_landmarks():
    buffer = LandmarkBuffer()
    buffer.begin(S)
    buffer.extend(extract_next, 5 * S, 5 * S + EDGE)
    assert len(buffer.landmarks) == 0


def test_a_snapshot_is_small():
    """Ten seconds of landmarks, as text."""
    packed = whole().between(2 * S, 12 * S).pack()
    assert len(packed) < 10_000


@given(st.integers(-(10**12), 10**12), st.integers(0, 3000))
def test_what_is_packed_is_unpacked(samples, n):
    some = whole().between(0, n * HOP).shift(samples)
    back = Landmarks.unpack(some.pack())
    assert same(some, back)
    assert (back.start, back.end) == (some.start, some.end)
