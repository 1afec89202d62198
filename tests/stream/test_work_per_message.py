"""The cost of a message is bounded by its size, its memory by the limits."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from stream.kafka.settings import WireSettings
from tests.stream.hostile import KINDS, decode

LIMITS = WireSettings.default()


def processor_s(kind: str, value: bytes) -> float:
    """Return the least processor time of three."""
    taken = []
    for _ in range(3):
        before = time.process_time()
        decode(kind, value)
        taken.append(time.process_time() - before)
    return min(taken)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_twice_the_size_is_no_more_than_twice_the_work(name):
    kind, make = KINDS[name]
    small, large = make(1_500_000), make(3_000_000)
    assert 1.8 < len(large) / len(small) < 2.2
    # Other processes disturb the measurement; four times the work would be so each time.
    tries = ((processor_s(kind, small), processor_s(kind, large)) for _ in range(4))
    assert any(twice < 3 * once + 0.05 for once, twice in tries)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in KINDS if "silence" in name])
def test_hours_of_silence_are_refused(name):
    kind, make = KINDS[name]
    assert "kafka.wire.max_s=60" in decode(kind, make(1_000_000))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["flac comments", "flac picture", "flac blocks", "ogg comments"])
def test_what_is_not_audio_is_no_reason_to_refuse_what_is(name):
    kind, make = KINDS[name]
    assert decode(kind, make(2_000_000)) == ""


MEASURE = """
import resource, sys
from pathlib import Path
from stream.kafka.settings import WireSettings
from stream.kafka.codec.message import ChunkDecoder

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

kind, value = sys.argv[1], Path(sys.argv[2]).read_bytes()
decoder = ChunkDecoder(WireSettings.default())
before = peak()
try:
    decoder.decode(b"a", value, [("content-type", kind.encode())], 0)
except Exception as error:
    print(type(error).__name__)
print((peak() - before) // 1024)
"""


@pytest.mark.process
@pytest.mark.long
@pytest.mark.parametrize("name", KINDS)
def test_memory_is_bounded(name, tmp_path):
    kind, make = KINDS[name]
    path = tmp_path / "message"
    path.write_bytes(make(8_000_000))
    command = [sys.executable, "-c", MEASURE, kind, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    *refused, grown_mb = done.stdout.split()
    assert refused in ([], ["DecodeError"])
    # A minute at 96 kHz a few times over, and a message a few times over.
    assert int(grown_mb) < (3 * LIMITS.max_s * 96_000 * 4 + 5 * LIMITS.max_bytes) / 1e6
