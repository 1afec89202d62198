"""Audio that is received again is located in earlier audio, to the sample."""

from __future__ import annotations

import io
from functools import cache

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.sources.overlap import find_overlap
from tests.examples import examples
from tests.stream.media import encode

RATES = [8_000, 22_050, 44_100]


@cache
def music(seconds: float, rate: int, seed: int = 0) -> NDArray[np.float32]:
    """Return audio that is nowhere like itself: low notes that are everywhere, and noise."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate)
    noise = np.convolve(rng.standard_normal(n), np.ones(8) / 8, "same")
    notes = np.sin(2 * np.pi * 55 * np.arange(n) / rate) + np.sin(
        2 * np.pi * 82 * np.arange(n) / rate
    )
    return (0.2 * noise + 0.2 * notes).astype(np.float32)


@pytest.mark.slow
@examples(40)
@given(
    rate=st.sampled_from(RATES),
    end_s=st.floats(5, 20),
    overlap_s=st.floats(0.4, 15),
    new_s=st.floats(0.4, 15),
)
def test_a_repetition_is_found_to_the_sample(
    rate: int, end_s: float, overlap_s: float, new_s: float
) -> None:
    audio, end = music(40, rate), round(end_s * rate)
    known = audio[round(rate * 2) : end]
    start = max(end - round(overlap_s * rate), 0)
    new = audio[start : start + round((overlap_s + new_s) * rate)]
    expected = start - 2 * rate
    shared = min(end, start + len(new)) - max(start, 2 * rate)
    assert find_overlap(known, new, rate) == (expected if shared >= 0.35 * rate else None)


@pytest.mark.parametrize("rate", RATES)
def test_other_audio_is_no_repetition(rate: int) -> None:
    audio = music(40, rate)
    assert find_overlap(audio[: 10 * rate], audio[11 * rate : 25 * rate], rate) is None
    assert find_overlap(audio[: 10 * rate], music(9, rate, seed=5), rate) is None
    silence = np.zeros(5 * rate, np.float32)
    assert find_overlap(silence, silence, rate) is None
    assert find_overlap(silence, silence, rate, expected=0) is None
    assert find_overlap(audio[:10], audio[:10], rate) is None
    assert find_overlap(audio[:0], audio[:rate], rate) is None


def test_a_jingle_that_is_played_twice_is_no_repetition() -> None:
    rate = 22_050
    audio, jingle = music(40, rate), music(4, rate, seed=7)
    known = np.concatenate([audio[: 5 * rate], jingle, audio[5 * rate : 9 * rate]])
    new = np.concatenate([audio[20 * rate : 22 * rate], jingle, audio[23 * rate : 28 * rate]])
    assert find_overlap(known, new, rate) is None


@pytest.mark.parametrize("expected_s", [None, 3.0, 3.5, 30.0])
def test_of_audio_that_repeats_itself_the_clock_chooses(expected_s: float | None) -> None:
    rate = 22_050
    bar = music(2, rate)
    loop = np.tile(bar, 8)
    expected = None if expected_s is None else round(expected_s * rate)
    found = find_overlap(loop[: 10 * rate], loop[rate : 9 * rate], rate, expected)
    if expected_s in (None, 30.0):
        assert found is None  # which of them is unknown
    else:
        assert found == 3 * rate


@pytest.mark.parametrize("codec", ["libmp3lame", "aac", "libopus"])
def test_what_is_decoded_again_from_its_middle_is_recognised(codec: str) -> None:
    """A decoder that begins in the middle needs some frames until its output is the same."""
    rate = 48_000
    data = io.BytesIO()
    encode(data, music(12, rate), rate, codec, format="matroska")
    data.seek(0)
    with av.open(data) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
        extra = container.streams.audio[0].codec_context.extradata

    def decoded(chosen: list[bytes]) -> NDArray[np.float32]:
        context = av.CodecContext.create(
            "mp3" if codec == "libmp3lame" else codec[-4:].lstrip("b"), "r"
        )
        context.extradata = extra
        frames = [frame for each in chosen for frame in context.decode(av.Packet(each))]
        planes = [frame.to_ndarray().reshape(1, -1).astype(np.float32)[0] for frame in frames]
        full = np.iinfo(np.int16).max if frames[0].format.name.startswith("s16") else 1.0
        return np.concatenate(planes) / np.float32(full)

    middle, end = len(packets) // 2, 3 * len(packets) // 4
    known, new = decoded(packets[:end]), decoded(packets[middle:])
    per_packet = len(decoded(packets)) / len(packets)
    found = find_overlap(known, new, rate)
    assert found is not None
    assert found == pytest.approx(middle * per_packet, abs=2 * per_packet + 500)
    n = min(len(known) - found, len(new), rate)
    assert np.allclose(known[-n // 2 :], new[len(known) - found - n // 2 :][: n // 2], atol=0.1)


def test_what_is_damaged_at_its_beginning_is_recognised() -> None:
    rate = 44_100
    audio = music(40, rate)
    new = audio[7 * rate : 12 * rate].copy()
    new[: round(0.1 * rate)] = 0
    assert find_overlap(audio[: 9 * rate], new, rate) == 7 * rate
