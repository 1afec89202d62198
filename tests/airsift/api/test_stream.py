"""Live audio through the Python interface."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import airsift
from model.weights import VOICE_WEIGHTS
from stream.testing import chunks_of, programme

AUDIO = programme(30)
FOUND = airsift.segment(AUDIO, 16_000)


def cut(samples: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return [chunk.samples for chunk in chunks_of(samples, cuts=cuts)]


@settings(max_examples=30)
@given(st.lists(st.integers(0, len(AUDIO)), max_size=20))
def test_however_audio_is_cut_the_segments_are_the_same(cuts: list[int]) -> None:
    stream = airsift.Stream(16_000)
    assert [*stream.events(cut(AUDIO, cuts))] == [*FOUND]
    assert stream.duration_s == 30.0


@settings(max_examples=10)
@given(st.lists(st.integers(0, 44_100 * 8), max_size=6), st.booleans())
def test_stereo_of_another_rate_too(cuts: list[int], first: bool) -> None:
    stereo = np.stack([programme(8, 44_100), programme(8, 44_100, seed=1)], axis=1)
    stored = (stereo * 32_767).astype(np.int16)
    whole = airsift.segment(stored, 44_100)
    chunks = [chunk.T if first else chunk for chunk in cut(stored, cuts)]
    stream = airsift.Stream(44_100, channels_first=first)
    assert [*stream.events(chunks)] == [*whole]


def test_results_come_before_the_end_and_to_callbacks_too() -> None:
    segments: list[airsift.Segment] = []
    updates: list[airsift.Segment | airsift.Match] = []
    stream = airsift.Stream(16_000, on_segment=segments.append, on_update=updates.append)
    before = [result for chunk in cut(AUDIO, [200_000]) for result in stream.push(chunk)]
    assert before
    assert segments == before
    rest = stream.finish()
    assert segments == [*FOUND] == before + rest
    assert {update.start_s for update in updates} <= {segment.start_s for segment in segments}
    assert updates


def test_finish_may_be_called_again_and_push_may_not() -> None:
    stream = airsift.Stream(16_000, name="news")
    stream.push(AUDIO[:32_000])
    assert stream.finish()
    assert stream.finish() == []
    assert stream.finished
    for call in (stream.push, lambda chunk: [*stream.events([chunk])]):
        with pytest.raises(airsift.AirsiftError, match=r"news has ended after 2\.00 s"):
            call(AUDIO)


def test_a_block_ends_the_stream() -> None:
    found: list[airsift.Segment] = []
    with airsift.Stream(16_000, on_segment=found.append) as stream:
        stream.push(AUDIO)
    assert found == [*FOUND]
    assert stream.finished
    found.clear()
    stream = airsift.Stream(16_000, on_segment=found.append)
    stream.push(AUDIO[:16_000])
    stream.__exit__(ValueError, ValueError(), None)
    assert stream.finished
    assert found == []


def test_a_stream_without_audio_has_no_results() -> None:
    for chunks in ([], [np.zeros(0)], [np.zeros(1)], [np.zeros((0, 2))]):
        assert [*airsift.Stream(16_000).events(chunks)] == []


def test_a_chunk_that_is_refused_changes_nothing() -> None:
    stream = airsift.Stream(16_000)
    found = stream.push(AUDIO[:200_000])
    for wrong in (np.full(100, np.nan), np.zeros((100, 2)), np.zeros((2, 1600)), None, [1, 2]):
        with pytest.raises(airsift.AirsiftError):
            stream.push(wrong)
    found += stream.push(AUDIO[200_000:])
    assert found + stream.finish() == [*FOUND]


def test_audio_is_copied() -> None:
    buffer = np.zeros(8_000, np.float32)
    stream = airsift.Stream(16_000)
    found = []
    for chunk in cut(AUDIO, [*range(0, len(AUDIO), 8_000)]):
        buffer[:] = chunk
        found += stream.push(buffer)
        buffer[:] = np.nan
    assert found + stream.finish() == [*FOUND]


def test_an_asynchronous_source() -> None:
    ticks = 0

    async def chunks() -> AsyncIterator[np.ndarray]:
        for chunk in cut(AUDIO, [*range(0, len(AUDIO), 50_000)]):
            await asyncio.sleep(0)
            yield chunk

    async def count() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async def run() -> list[airsift.Segment | airsift.Match]:
        other = asyncio.create_task(count())
        try:
            return [result async for result in airsift.Stream(16_000).events_async(chunks())]
        finally:
            other.cancel()

    assert asyncio.run(run()) == [*FOUND]
    assert ticks > 10


def test_several_streams_at_once_do_not_meet() -> None:
    streams = [airsift.Stream(16_000, name="same") for _ in range(3)]
    found: list[list[object]] = [[], [], []]
    for chunk in cut(AUDIO, [*range(0, len(AUDIO), 16_000)]):
        for stream, results in zip(streams, found, strict=True):
            results += stream.push(chunk)
    for stream, results in zip(streams, found, strict=True):
        results += stream.finish()
    assert found == [[*FOUND]] * 3


def test_a_stream_says_what_it_is_and_is_not_copied() -> None:
    stream = airsift.Stream(16_000, name="news")
    stream.push(AUDIO[:16_000])
    assert repr(stream) == "Stream(16000, name='news'): 1.00 s, open"
    with pytest.raises(airsift.AirsiftError, match="pickled"):
        pickle.dumps(stream)
    with pytest.raises(airsift.AirsiftError, match="rate=0"):
        airsift.Stream(0)


def test_labels_of_another_network_are_told_beside_the_results() -> None:
    # The network of voices stands for one of a user's own.
    config = {"model.labels_path": VOICE_WEIGHTS, "model.voice": False}
    whole = airsift.segment(AUDIO, 16_000, config=config)
    assert whole.labels
    heard: list[airsift.Segment] = []
    with airsift.Stream(16_000, config=config, on_label=heard.append) as stream:
        results = [
            result for chunk in cut(AUDIO, [70_000, 300_000]) for result in stream.push(chunk)
        ]
    assert heard == whole.labels
    assert [*whole][: len(results)] == results
