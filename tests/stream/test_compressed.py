"""Bare MP3 and ADTS frames, cut into messages anywhere."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import DecodeError
from stream.audio import AudioChunk
from stream.kafka.codec.message import ChunkDecoder
from stream.kafka.settings import WireSettings
from tests.examples import examples
from tests.stream.bare import FRAMES, frames_of

RATE = 48000
FRAME = {"audio/mpeg": 1152, "audio/aac": 1024}


def decode(decoder: ChunkDecoder, kind: str, value: bytes, **headers: int) -> AudioChunk:
    texts = {"content-type": kind} | {name: str(number) for name, number in headers.items()}
    return decoder.decode(b"a", value, [(n, t.encode()) for n, t in texts.items()], 0).chunk


def decoded(kind: str, cuts: list[int]) -> np.ndarray:
    """Decode the tone, cut at `cuts`, by order of arrival, and check that no sample is lost."""
    decoder, whole = ChunkDecoder(WireSettings.default()), b"".join(FRAMES[kind])
    edges = sorted({0, len(whole), *(cut % len(whole) for cut in cuts)})
    chunks = [decode(decoder, kind, whole[a:b]) for a, b in itertools.pairwise(edges)]
    chunks = [chunk for chunk in chunks if len(chunk.samples)]
    assert all(a.end == b.start for a, b in itertools.pairwise(chunks))
    return np.concatenate([chunk.samples for chunk in chunks])


@pytest.mark.parametrize("kind", FRAME)
@examples(15)
@given(cuts=st.lists(st.integers(1, 10**6), max_size=8))
def test_cutting_frames_anywhere_changes_nothing(kind: str, cuts: list[int]) -> None:
    assert np.array_equal(decoded(kind, cuts), decoded(kind, []))


@pytest.mark.parametrize("kind", FRAME)
def test_every_frame_counts(kind: str) -> None:
    assert len(decoded(kind, [])) == len(FRAMES[kind]) * FRAME[kind]


@pytest.mark.parametrize("kind", FRAME)
def test_start_sample_of_whole_frames_goes_on(kind: str) -> None:
    decoder, frames, n = ChunkDecoder(WireSettings.default()), FRAMES[kind], FRAME[kind]
    parts = [
        decode(decoder, kind, b"".join(frames[i : i + 5]), start_sample=i * n)
        for i in range(0, 40, 5)
    ]
    assert [part.start for part in parts] == [i * n for i in range(0, 40, 5)]
    assert np.array_equal(np.concatenate([p.samples for p in parts]), decoded(kind, [])[: 40 * n])


@pytest.mark.parametrize("kind", FRAME)
def test_start_sample_counts_to_the_first_frame_that_begins_in_the_message(kind: str) -> None:
    decoder, frames, n = ChunkDecoder(WireSettings.default()), FRAMES[kind], FRAME[kind]
    whole = b"".join(frames[:20])
    cut = len(b"".join(frames[:10])) + len(frames[10]) // 2
    first = decode(decoder, kind, whole[:cut], start_sample=0)
    second = decode(decoder, kind, whole[cut:], start_sample=11 * n)
    assert (first.start, first.end) == (0, 10 * n)
    assert (second.start, second.end) == (10 * n, 20 * n)


@pytest.mark.parametrize("kind", FRAME)
def test_a_jump_of_start_sample_is_a_jump(kind: str) -> None:
    decoder, frames, n = ChunkDecoder(WireSettings.default()), FRAMES[kind], FRAME[kind]
    decode(decoder, kind, b"".join(frames[:10]), start_sample=0)
    chunk = decode(decoder, kind, b"".join(frames[20:30]), start_sample=20 * n)
    assert (chunk.start, len(chunk.samples)) == (20 * n, 10 * n)


def test_a_message_that_begins_in_mid_stream_loses_no_place() -> None:
    chunk = decode(
        ChunkDecoder(WireSettings.default()), "audio/mpeg", b"".join(FRAMES["audio/mpeg"][10:20])
    )
    assert len(chunk.samples) == 10 * 1152


def test_the_rate_may_change_between_messages_but_not_within() -> None:
    decoder = ChunkDecoder(WireSettings.default())
    slow = b"".join(frames_of("audio/mpeg", rate=44100))
    fast = b"".join(FRAMES["audio/mpeg"])
    assert decode(decoder, "audio/mpeg", fast).rate == 48000
    chunk = decode(decoder, "audio/mpeg", slow)
    assert chunk.rate == 44100
    assert chunk.start / 44100 == pytest.approx(len(FRAMES["audio/mpeg"]) * 1152 / 48000, abs=1e-4)
    with pytest.raises(DecodeError, match=r"the rate changes from .* within one message"):
        decode(decoder, "audio/mpeg", slow + fast)


def test_a_station_goes_on_after_rubbish() -> None:
    decoder, frames = ChunkDecoder(WireSettings.default()), FRAMES["audio/mpeg"]
    decode(decoder, "audio/mpeg", b"".join(frames[:10]), start_sample=0)
    with pytest.raises(DecodeError, match="not a stream of mp3 frames"):
        decode(decoder, "audio/mpeg", bytes(5000), start_sample=11520)
    chunk = decode(decoder, "audio/mpeg", b"".join(frames[20:30]), start_sample=23040)
    assert (chunk.start, len(chunk.samples)) == (23040, 11520)
