"""Hostile messages: each is refused in one line or decodes, in bounded time and memory."""

from __future__ import annotations

import ctypes
import gc
import random
import resource
import time
from pathlib import Path

import numpy as np
import pytest

from airsift.errors import DecodeError
from stream.audio import AudioChunk
from stream.kafka.codec.message import CODECS, ChunkDecoder, Message, encode
from stream.kafka.settings import WireSettings
from tests.stream.bare import FRAMES

LIMITS = WireSettings.default(max_s=2.0)
NAMES = ["schema", "content-type", "rate", "channels", "start_sample", "time_ms", "x"]
KINDS = [b"audio/x-s16le", b"audio/x-f32le", b"audio/flac", b"audio/ogg", b"audio/mpeg"]
KINDS += [b"audio/aac", b"audio/wav"]
WORDS = [*KINDS, b"", b"0", b"1", b"2", b"16000", b"48000", b"44100", b"9" * 18, b"-1", b"1e5"]
SLOWEST_S = 5.0  # of processor time; two seconds of audio take some milliseconds


def real_messages() -> list[Message]:
    samples = (0.3 * np.sin(np.arange(4000) / 7)).astype(np.float32)
    chunk = AudioChunk("a", 0, samples, 16000, 1_700_000_000.0)
    found = [encode(chunk, codec) for codec in CODECS]
    for kind, frames in FRAMES.items():
        found.append(Message(b"a", b"".join(frames[:12]), [("content-type", kind.encode())]))
    return found


REAL = real_messages()


def mutant(rng: random.Random) -> Message:
    """Return a real message with damage to its value, its headers, or both."""
    message = rng.choice(REAL)
    value, headers = bytearray(message.value), list(message.headers)
    if rng.random() < 0.1:
        value = bytearray(rng.randbytes(rng.randrange(3000)))
    for _ in range(rng.choice((0, 1, 2, 5, 30))):
        if not value:
            break
        # The beginning of a file holds its declared sizes.
        at = rng.randrange(min(len(value), rng.choice((64, 256, len(value)))))
        what = rng.randrange(4)
        if what == 0:
            value[at] = rng.randrange(256)
        elif what == 1:
            value[at : at + rng.randrange(1, 9)] = rng.choice((b"\xff", b"\0", b"\x7f")) * 4
        elif what == 2:
            del value[at : at + rng.randrange(1, 200)]
        else:
            other = rng.choice(REAL).value
            cut = rng.randrange(len(other))
            value[at:at] = other[cut : cut + rng.randrange(1, 400)]
    for _ in range(rng.choice((0, 0, 1, 3))):
        headers.append((rng.choice(NAMES), rng.choice((rng.choice(WORDS), rng.randbytes(6)))))
    key = rng.choice((b"a", b"a", b"b", b"\xff", b"", None))
    return Message(key, bytes(value), headers)


def is_sound_or_refused(decoder: ChunkDecoder, message: Message) -> bool:
    """Assert that it is one of both, in bounded time; return whether it is sound."""
    before = time.process_time()
    refused = ""
    try:
        chunk = decoder.decode(*message, 1_700_000_000_000).chunk
    except DecodeError as error:
        refused = str(error)
    if refused:
        assert len(refused.splitlines()) == 1
    else:
        assert np.isfinite(chunk.samples).all()
        assert len(chunk.samples) <= LIMITS.max_s * chunk.rate
        assert chunk.start >= 0
    assert time.process_time() - before < SLOWEST_S
    return not refused


def resident_mb() -> float:
    """Return what is in use: without what the allocator keeps for later, in pieces."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def test_damaged_messages_are_refused_or_sound() -> None:
    rng, decoder = random.Random(1), ChunkDecoder(LIMITS)
    sound = [is_sound_or_refused(decoder, mutant(rng)) for _ in range(800)]
    # Both must happen for this to be a test of either.
    assert 100 < sum(sound) < 700
    assert decoder._stations.keys() <= {"a", "b"}


@pytest.mark.fuzz
def test_thousands_of_damaged_messages_leave_nothing_behind() -> None:
    seed = random.SystemRandom().randrange(2**32)
    rng, decoder, sizes = random.Random(seed), ChunkDecoder(LIMITS), []
    print(f"seed {seed}")
    for _ in range(40):
        for _ in range(750):
            is_sound_or_refused(decoder, mutant(rng))
        sizes.append(resident_mb())
    print("MB:", *(f"{size:.0f}" for size in sizes))
    # Memory in pieces comes and goes: what never goes is in the least of many looks.
    grown = min(sizes[20:]) - min(sizes[5:20])
    assert grown < 3.0, f"seed {seed}: {grown:.1f} MB in 15 000 messages, {sizes}"
