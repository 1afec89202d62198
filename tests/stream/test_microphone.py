from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import SourceError
from stream.sources.microphone import Intake, _find
from tests.stream.media import encode, tone
from tests.stream.pulse import null_device, playing, skip_unless_installed

BLOCK = 10


def put(intake: Intake, at_s: float, *, dropped: bool = False, value: float = 0.0) -> None:
    intake.put(np.full((BLOCK, 2), value, np.float32), at_s, 0.25, dropped)


def test_blocks_are_numbered_and_dated() -> None:
    intake = Intake("mic", 100, 10)
    before = time.time()
    for i in range(3):
        put(intake, i / 10, value=i)
    chunks = intake.take(0)
    assert [(chunk.start, chunk.end) for chunk in chunks] == [(0, 10), (10, 20), (20, 30)]
    assert [chunk.samples[0] for chunk in chunks] == [0, 1, 2]
    assert chunks[0].samples.shape == (BLOCK,)
    assert chunks[0].time == pytest.approx(before - 0.25, abs=0.2)
    assert chunks[2].time - chunks[0].time == pytest.approx(0.2)
    assert intake.take(0) == []
    assert intake.overflows == 0


@given(taken=st.lists(st.integers(0, 12), max_size=8))
def test_what_a_full_queue_loses_is_a_jump_of_exactly_its_length(taken: list[int]) -> None:
    intake, at, chunks = Intake("mic", 100, 5), 0, []
    for blocks in taken:
        for _ in range(blocks):
            put(intake, at / 100, value=at / BLOCK)
            at += BLOCK
        chunks += intake.take(0)
    expected = 0
    for chunk in chunks:
        assert chunk.samples[0] == chunk.start / BLOCK  # it is where it belongs
        assert chunk.gap_reason == ("missing" if chunk.start == expected else "overflow")
        expected = chunk.end
    assert intake.overflows == sum(max(blocks - 5, 0) for blocks in taken)


def test_what_the_device_dropped_is_told_by_its_clock() -> None:
    intake = Intake("mic", 100, 10)
    put(intake, 7.0)
    put(intake, 7.1)
    put(intake, 8.7, dropped=True)
    put(intake, 8.8)
    spans = [(chunk.start, chunk.gap_reason) for chunk in intake.take(0)]
    assert spans == [(0, "missing"), (10, "missing"), (170, "overflow"), (180, "missing")]


def test_a_device_without_a_clock_drops_at_least_one_sample() -> None:
    intake = Intake("mic", 100, 10)
    put(intake, 0.0)
    put(intake, 0.0, dropped=True)
    assert [chunk.start for chunk in intake.take(0)] == [0, 11]


OPEN = (
    "from airsift.errors import SourceError\n"
    "from stream.sources.microphone import MicrophoneSource\n"
    "try: MicrophoneSource({device!r})\n"
    "except SourceError as error: print(error)\n"
)


def test_a_machine_without_portaudio_is_told_what_to_install() -> None:
    hide = "import sys, ctypes.util\nctypes.util.find_library = lambda name: None\n"
    run = [sys.executable, "-c", hide + OPEN.format(device=None)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("microphone: PortAudio library not found; install")
    assert "apt install libportaudio2" in done.stdout
    assert done.stderr == ""


RECORD = """\
import json, sys, time
from stream.sources.microphone import MicrophoneSource
source = MicrophoneSource({device!r}, "mic", block_ms=50, queue_blocks={blocks})
chunks, began = [], None
for batch in source:
    chunks += batch.chunks
    if chunks and began is None:
        began = time.monotonic()
        time.sleep({pause})
    if began and time.monotonic() - began > {seconds}:
        break
spent = time.monotonic() - began
source.close()
source.close()
json.dump({{
    "rate": source.rate, "spent": spent, "overflows": source.overflows,
    "chunks": [[c.start, c.end, c.gap_reason, c.time, c.samples.tolist()] for c in chunks],
}}, sys.stdout)
"""


def test_a_machine_without_any_input_says_so() -> None:
    def query_devices(device: object = None, kind: str | None = None) -> list[dict[str, object]]:
        if kind is None:
            return [{"index": 0, "name": "loudspeaker", "max_input_channels": 0}]
        raise LookupError(f"Error querying device {device}")

    portaudio = SimpleNamespace(PortAudioError=LookupError, query_devices=query_devices)
    with pytest.raises(SourceError, match=r"microphone default: .* this machine has no input"):
        _find(portaudio, None)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    skip_unless_installed()
    folder = tmp_path_factory.mktemp("pulse")
    encode(folder / "tone.wav", tone(60, 48_000, hz=1_000), 48_000, "pcm_s16le")
    with null_device(folder) as environ, playing(environ, folder / "tone.wav"):
        yield environ


def record(environ: dict[str, str], **settings: object) -> dict[str, list]:
    values = {"device": None, "blocks": 100, "pause": 0.0, "seconds": 2.0, **settings}
    run = [sys.executable, "-c", RECORD.format(**values)]
    done = subprocess.run(run, env=environ, capture_output=True, check=True, timeout=60)
    assert done.stderr == b""
    return json.loads(done.stdout)


@pytest.mark.audio
def test_a_tone_is_heard_at_its_pitch_for_its_time(environ: dict[str, str]) -> None:
    heard = record(environ)
    rate, chunks = heard["rate"], heard["chunks"]
    assert [chunk[0] for chunk in chunks] == [0, *(chunk[1] for chunk in chunks[:-1])]
    assert chunks[-1][1] / rate == pytest.approx(heard["spent"], abs=0.7)
    assert chunks[0][3] == pytest.approx(time.time(), abs=20)
    samples = np.concatenate([chunk[4] for chunk in chunks])[rate:]
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert spectrum.argmax() * rate / len(samples) == pytest.approx(1_000, abs=2)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.05)


@pytest.mark.audio
def test_a_listener_who_sleeps_gets_a_gap_not_a_drift(environ: dict[str, str]) -> None:
    heard = record(environ, blocks=5, pause=2.0, seconds=3.0)
    rate, chunks = heard["rate"], heard["chunks"]
    jumps = [
        (before[1], after[0], after[2])
        for before, after in pairwise(chunks)
        if before[1] != after[0]
    ]
    assert heard["overflows"] > 0
    assert {jump[2] for jump in jumps} == {"overflow"}
    assert sum(b - a for a, b, _ in jumps) / rate == pytest.approx(1.75, abs=0.7)
    assert chunks[-1][1] / rate == pytest.approx(heard["spent"], abs=0.7)


@pytest.mark.audio
@pytest.mark.parametrize("device", ["no such card", "99"])
def test_an_unknown_device_is_named_with_those_there_are(
    environ: dict[str, str], device: str
) -> None:
    run = [sys.executable, "-c", OPEN.format(device=device)]
    done = subprocess.run(run, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"microphone {device}: no such input (")
    assert "choose from: 0 pulse; 1 default" in done.stdout
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
