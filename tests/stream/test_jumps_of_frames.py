"""Jumps in streams of bare frames: an outlier disturbs no decoder, and restarts decode the same."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from stream.kafka.records.consumer_record import Received
from tests.examples import examples
from tests.stream.bare import Sent, messages, stream
from tests.stream.frame_restarts import RATE, check_restarts
from tests.stream.partition import new_reader

STREAMS = [("mp3", 44_100, "stereo", 128_000), ("aac", 24_000, "stereo", 32_000)]
FAR_S = 100_000


def moved(sent: Sent, made, seconds: int) -> Sent:
    """Return the message with its timestamps moved by `off_s`."""
    by = {b"start_sample": seconds * made.rate, b"time_ms": seconds * 1000}
    headers = [
        (name, str(int(value) + by[name.encode()]).encode() if name.encode() in by else value)
        for name, value in sent.headers
    ]
    return sent._replace(headers=headers, arrived_ms=sent.arrived_ms + seconds * 1000)


def decoded(sent: list[Sent]) -> list[tuple[int, float | None, bytes]]:
    refused: list[str] = []
    reader = new_reader(rate=RATE, refuse=lambda _, reason: refused.append(reason))
    found = []
    for offset, (value, headers, arrived_ms) in enumerate(sent):
        for chunk in reader.read(Received("audio", 0, offset, arrived_ms, b"a", value, headers)):
            found.append((chunk.start, chunk.time, chunk.samples.tobytes()))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("hint", ["start_sample", "time_ms", "nothing"])
@pytest.mark.parametrize("made", STREAMS, ids=lambda made: made[0])
@examples(8, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_lone_outliers_leave_the_decoder_alone(made, hint, data):
    frames = stream(*made, seconds=6.0)
    mean = sum(map(len, frames.frames)) // len(frames.frames)
    sizes = data.draw(st.lists(st.integers(mean, 20 * mean), min_size=1, max_size=4))
    honest = messages(frames, sizes, hint)
    with_outliers = []
    for i, each in enumerate(honest):
        if i > 1 and data.draw(st.integers(0, 3)) == 0:
            with_outliers.append(moved(honest[i - 1], frames, FAR_S + i))
        with_outliers.append(each)
    assert decoded(with_outliers) == decoded(honest)


@pytest.mark.slow
@pytest.mark.parametrize("hint", ["start_sample", "time_ms", "nothing"])
@pytest.mark.parametrize("made", STREAMS, ids=lambda made: made[0])
@examples(6, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_restarts_around_jumps_decode_the_same_samples(made, hint, data):
    frames = stream(*made)
    mean = sum(map(len, frames.frames)) // len(frames.frames)
    sizes = data.draw(
        st.lists(st.sampled_from([mean, 2 * mean + 1, 9 * mean, 60 * mean]), min_size=1, max_size=4)
    )
    sent = messages(frames, sizes, hint)
    at = data.draw(st.integers(1, len(sent) - 1))
    sent = sent[:at] + [moved(each, frames, FAR_S) for each in sent[at:]]
    ends = sorted(data.draw(st.lists(st.integers(1, len(sent)), min_size=1, max_size=3)))
    check_restarts(sent, ends, data.draw(st.sampled_from([0.0, 0.5])))


@pytest.mark.parametrize("hint", ["start_sample", "time_ms", "nothing"])
@pytest.mark.parametrize("off_s", [0, 1, 40, 5000])
@pytest.mark.parametrize("made", STREAMS, ids=lambda made: made[0])
def test_a_message_without_a_whole_frame_confirms_a_jump_and_moves_nothing(made, hint, off_s):
    frames = stream(*made, seconds=6.0)
    mean = sum(map(len, frames.frames)) // len(frames.frames)
    honest = messages(frames, [12 * mean], hint)
    far = [moved(each, frames, FAR_S) for each in honest[3:]]
    # Some bytes from within a frame come alone, under a time that is off.
    value = far[0].value
    cut = [far[0]._replace(value=v) for v in (value[:-20], value[-20:-10], value[-10:])]
    cut[1] = moved(cut[1], frames, off_s) if hint != "start_sample" else cut[1]
    found = decoded([*honest[:3], *cut, *far[1:]])
    assert [start for start, _, _ in found] == sorted(start for start, _, _ in found)
    assert found[-1][0] / frames.rate > FAR_S
