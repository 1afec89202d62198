"""Messages that mean harm: each is refused in one line or gives sound audio, soon, and is gone."""

from __future__ import annotations

import gc
import random
import resource
import time
from pathlib import Path

import numpy as np
import pytest

from airsift.errors import DecodeError
from stream.audio import AudioChunk
from stream.kafka.settings import WireSettings
from stream.kafka.wire import CODECS, ChunkDecoder, Message, encode
from tests.stream.test_compressed import FRAMES

LIMITS = WireSettings(max_s=2.0)
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
        # The beginning of a file is where its claims are.
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


def is_sound_or_refused(decoder: ChunkDecoder, message: Message) -> None:
    before = time.process_time()
    refused = ""
    try:
        chunk = decoder.decode(*message, 1_700_000_000_000)
    except DecodeError as error:
        refused = str(error)
    if refused:
        assert len(refused.splitlines()) == 1
    else:
        assert np.isfinite(chunk.samples).all()
        assert len(chunk.samples) <= LIMITS.max_s * chunk.rate
        assert chunk.start >= 0
    assert time.process_time() - before < SLOWEST_S


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def test_damaged_messages_are_refused_or_sound() -> None:
    rng, decoder = random.Random(1), ChunkDecoder(LIMITS)
    for _ in range(800):
        is_sound_or_refused(decoder, mutant(rng))


@pytest.mark.fuzz
def test_thousands_of_damaged_messages_leave_nothing_behind() -> None:
    seed = random.SystemRandom().randrange(2**32)
    rng, decoder, sizes = random.Random(seed), ChunkDecoder(LIMITS), []
    print(f"seed {seed}")
    for _ in range(12):
        for _ in range(2500):
            is_sound_or_refused(decoder, mutant(rng))
        gc.collect()
        sizes.append(resident_mb())
    print("MB:", *(f"{size:.0f}" for size in sizes))
    # The first rounds fill caches; from there on, megabytes in 1000 messages.
    slope = np.polyfit(np.arange(8) * 2.5, sizes[4:], 1)[0]
    assert slope < 0.3, f"seed {seed}: {slope:.2f} MB in 1000 messages, {sizes}"
