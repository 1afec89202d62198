from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import SourceError
from stream.sources.devices import find_device
from stream.sources.microphone import BlockQueue
from stream.testing import ManualClock, tone
from tests.examples import examples
from tests.stream.media import encode
from tests.stream.pulse import null_device, playing, skip_unless_installed

BLOCK = 10


def put(blocks: BlockQueue, at_s: float, *, dropped: bool = False, value: float = 0.0) -> None:
    blocks.put(np.full((BLOCK, 2), value, np.float32), at_s, 0.25, dropped)


def test_blocks_are_numbered_and_dated() -> None:
    blocks = BlockQueue("mic", 100, 10)
    before = time.time()
    for i in range(3):
        put(blocks, i / 10, value=i)
    chunks = blocks.read(0)
    assert [(chunk.start, chunk.end) for chunk in chunks] == [(0, 10), (10, 20), (20, 30)]
    assert [chunk.samples[0, 0] for chunk in chunks] == [0, 1, 2]
    assert chunks[0].samples.shape == (BLOCK, 2)
    assert chunks[0].time == pytest.approx(before - 0.25, abs=0.2)
    assert chunks[2].time - chunks[0].time == pytest.approx(0.2, abs=0.001)
    assert blocks.read(0) == []
    assert blocks.overflows == 0


@given(taken=st.lists(st.integers(0, 12), max_size=8))
def test_what_a_full_queue_loses_is_a_jump_of_exactly_its_length(taken: list[int]) -> None:
    blocks, at, chunks = BlockQueue("mic", 100, 5), 0, []
    for count in taken:
        for _ in range(count):
            put(blocks, at / 100, value=at / BLOCK)
            at += BLOCK
        chunks += blocks.read(0)
    expected = 0
    for chunk in chunks:
        assert chunk.samples[0, 0] == chunk.start / BLOCK  # it is where it belongs
        assert chunk.gap_reason == ("missing" if chunk.start == expected else "overflow")
        expected = chunk.end
    assert blocks.overflows == sum(max(count - 5, 0) for count in taken)


def test_dropped_samples_are_counted_by_the_devices_clock() -> None:
    blocks = BlockQueue("mic", 100, 10)
    put(blocks, 7.0)
    put(blocks, 7.1)
    put(blocks, 8.7, dropped=True)
    put(blocks, 8.8)
    spans = [(chunk.start, chunk.gap_reason) for chunk in blocks.read(0)]
    assert spans == [(0, "missing"), (10, "missing"), (170, "overflow"), (180, "missing")]


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(
            st.integers(1, 30),  # blocks that come at their time
            st.integers(0, 200),  # tenths of a second in which nothing is delivered
            st.integers(0, 200),  # blocks of them that the device has buffered and delivers at once
        ),
        min_size=1,
        max_size=8,
    ),
    st.floats(-0.08, 0.08),
)
def test_stalled_time_is_a_gap_unless_the_device_buffered_it(
    pauses: list[tuple[int, int, int]], jitter_s: float
) -> None:
    clock = ManualClock(1000.0)
    blocks = BlockQueue("mic", 100, 10_000, clock)
    began, lost = clock.now, 0
    for on_time, stood_still, buffered in pauses:
        buffered = min(buffered, stood_still)
        for _ in range(on_time + 2):
            clock.now += 0.1
            put(blocks, 0.0)
        clock.now += stood_still / 10
        for _ in range(buffered):
            put(blocks, 0.0)
        lost += stood_still - buffered
        clock.now += jitter_s / 1000
        for _ in range(3):
            clock.now += 0.1
            put(blocks, 0.0)
    chunks = blocks.read(0)
    assert all(a.end <= b.start for a, b in pairwise(chunks))
    gaps = [(b.start - a.end, b.gap_reason) for a, b in pairwise(chunks) if a.end != b.start]
    assert all(reason == "pause" for _, reason in gaps)
    # Losses below the threshold are carried over: the sum is right within it.
    assert sum(gap for gap, _ in gaps) == pytest.approx(10 * lost, abs=30)
    assert chunks[-1].end / 100 == pytest.approx(clock.now - began, abs=0.3)


@pytest.mark.slow
@examples(20)
@given(st.lists(st.floats(0, 0.2), min_size=20, max_size=60), st.floats(-1e-4, 1e-4))
def test_neither_jitter_nor_a_slow_clock_is_a_gap(lates: list[float], drift: float) -> None:
    clock = ManualClock(1000.0)
    blocks = BlockQueue("mic", 100, 100_000, clock)
    for i in range(10_000):
        clock.now = 1000 + i * 0.1 * (1 + drift) + lates[i % len(lates)]
        put(blocks, 0.0)
    chunks = blocks.read(0)
    assert [chunk.start for chunk in chunks] == list(range(0, 100_000, BLOCK))
    spent = chunks[-1].time - chunks[0].time  # type: ignore[operator]
    assert spent == pytest.approx(999.9 * (1 + drift), abs=0.25)


def test_a_device_opened_again_goes_on_where_the_clock_is() -> None:
    clock = ManualClock(1000.0)
    blocks = BlockQueue("mic", 100, 100, clock)
    put(blocks, 0.0)
    clock.now += 30.0
    blocks.reopen(200)
    put(blocks, 0.0)
    clock.now += 0.05
    put(blocks, 0.0)
    first, second, third = blocks.read(0)
    assert (first.start, first.end, first.rate) == (0, 10, 100)
    # Blocks of ten samples at 200 Hz: 0.05 s.
    assert (second.start, second.rate, second.gap_reason) == (6010, 200, "pause")
    assert (third.start, third.gap_reason) == (6020, "missing")


def test_a_device_without_a_clock_drops_at_least_one_sample() -> None:
    blocks = BlockQueue("mic", 100, 10)
    put(blocks, 0.0)
    put(blocks, 0.0, dropped=True)
    assert [chunk.start for chunk in blocks.read(0)] == [0, 11]


OPEN = (
    "from airsift.errors import SourceError\n"
    "from stream.sources.microphone import MicrophoneSource, MicrophoneSettings\n"
    "try: MicrophoneSource(settings=MicrophoneSettings.default(device={device!r}))\n"
    "except SourceError as error: print(error)\n"
)


@pytest.mark.process
def test_without_portaudio_the_error_names_the_package() -> None:
    hide = "import sys, ctypes.util\nctypes.util.find_library = lambda name: None\n"
    run = [sys.executable, "-c", hide + OPEN.format(device="")]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("microphone: PortAudio library not found; install")
    assert "apt install libportaudio2" in done.stdout
    assert done.stderr == ""


RECORD = """\
import json, sys, time
from stream.sources.microphone import MicrophoneSource, MicrophoneSettings
settings = MicrophoneSettings.default(block_ms=50, queue_s={queue_s})
source = MicrophoneSource("mic", settings)
chunks, began = [], None
for batch in source:
    chunks += batch
    if chunks and began is None:
        began = time.monotonic()
        print("begun", flush=True)
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


def test_a_machine_without_any_input_is_an_error() -> None:
    def query_devices(device: object = None, kind: str | None = None) -> list[dict[str, object]]:
        if kind is None:
            return [{"index": 0, "name": "loudspeaker", "max_input_channels": 0}]
        raise LookupError(f"Error querying device {device}")

    portaudio = SimpleNamespace(PortAudioError=LookupError, query_devices=query_devices)
    with pytest.raises(SourceError, match=r"microphone default: .* this machine has no input"):
        find_device(portaudio, "")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    skip_unless_installed()
    folder = tmp_path_factory.mktemp("pulse")
    encode(folder / "tone.wav", tone(60, 48_000, hz=1_000), 48_000, "pcm_s16le")
    with null_device(folder) as environ, playing(environ, folder / "tone.wav"):
        yield environ


def record(environ: dict[str, str], **settings: object) -> dict[str, list]:
    values = {"queue_s": 5.0, "pause": 0.0, "seconds": 2.0, **settings}
    run = [sys.executable, "-c", RECORD.format(**values)]
    done = subprocess.run(run, env=environ, capture_output=True, check=True, timeout=60)
    assert done.stderr == b""
    return json.loads(done.stdout.removeprefix(b"begun\n"))


@pytest.mark.process
@pytest.mark.audio
def test_a_tone_is_recorded_with_its_pitch_and_length(environ: dict[str, str]) -> None:
    recorded = record(environ)
    rate, chunks = recorded["rate"], recorded["chunks"]
    assert [chunk[0] for chunk in chunks] == [0, *(chunk[1] for chunk in chunks[:-1])]
    assert chunks[-1][1] / rate == pytest.approx(recorded["spent"], abs=0.7)
    assert chunks[0][3] == pytest.approx(time.time(), abs=20)
    samples = np.concatenate([chunk[4] for chunk in chunks])[rate:].mean(axis=1)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert spectrum.argmax() * rate / len(samples) == pytest.approx(1_000, abs=2)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.05)


@pytest.mark.process
@pytest.mark.audio
def test_a_listener_who_sleeps_gets_a_gap_not_a_drift(environ: dict[str, str]) -> None:
    recorded = record(environ, queue_s=0.25, pause=2.0, seconds=3.0)
    rate, chunks = recorded["rate"], recorded["chunks"]
    jumps = [
        (before[1], after[0], after[2])
        for before, after in pairwise(chunks)
        if before[1] != after[0]
    ]
    assert recorded["overflows"] > 0
    assert {jump[2] for jump in jumps} == {"overflow"}
    assert sum(b - a for a, b, _ in jumps) / rate == pytest.approx(1.75, abs=0.7)
    assert chunks[-1][1] / rate == pytest.approx(recorded["spent"], abs=0.7)


@pytest.mark.process
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


@pytest.mark.process
@pytest.mark.long
@pytest.mark.audio
def test_a_process_that_stood_still_goes_on_at_the_right_time(environ: dict[str, str]) -> None:
    values = {"queue_s": 1.0, "pause": 0.0, "seconds": 12.0}
    run = [sys.executable, "-c", RECORD.format(**values)]
    process = subprocess.Popen(run, env=environ, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(signal.SIGSTOP)
    time.sleep(7)  # longer than a silent device is waited for
    process.send_signal(signal.SIGCONT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    received = json.loads(out)
    chunks, rate = received["chunks"], received["rate"]
    assert chunks[-1][1] / rate == pytest.approx(received["spent"], abs=1.0)
    assert {after[2] for before, after in pairwise(chunks) if before[1] != after[0]} <= {
        "pause",
        "overflow",
    }


RECORD_ON = """\
import sys, time
from airsift.errors import SourceError
from stream.sources.microphone import MicrophoneSource, MicrophoneSettings
source = MicrophoneSource("mic", MicrophoneSettings.default(absent_s={absent_s}))
end, began = 0, time.monotonic()
try:
    for batch in source:
        for chunk in batch:
            if chunk.start != end or not end:
                print(end / chunk.rate, chunk.start / chunk.rate, chunk.gap_reason, flush=True)
            end = chunk.end
except SourceError as error:
    print(error, flush=True)
"""


def recorder(environ: dict[str, str], absent_s: float) -> subprocess.Popen[str]:
    run = [sys.executable, "-c", RECORD_ON.format(absent_s=absent_s)]
    return subprocess.Popen(
        run, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


@pytest.mark.process
@pytest.mark.audio
def test_a_device_that_comes_back_is_used_again(tmp_path: Path) -> None:
    skip_unless_installed()
    with null_device(tmp_path) as environ:
        process = recorder(environ, absent_s=60)
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(1)
    gone = time.monotonic()
    time.sleep(7)
    try:
        with null_device(tmp_path):
            end, start, reason = process.stdout.readline().split()
            away_s = time.monotonic() - gone
    finally:
        process.kill()
        process.communicate()
    assert first.split()[:2] == ["0.0", "0.0"]
    assert reason == "pause"
    assert float(start) - float(end) == pytest.approx(away_s, abs=3)


@pytest.mark.process
@pytest.mark.audio
def test_a_device_that_stays_away_ends_it_in_one_line(tmp_path: Path) -> None:
    skip_unless_installed()
    with null_device(tmp_path) as environ:
        process = recorder(environ, absent_s=7)
        assert process.stdout is not None
        process.stdout.readline()
    out, _ = process.communicate(timeout=60)
    assert out.startswith("microphone ")
    assert "has given no audio for 7 s" in out or "has given no audio for 8 s" in out
    assert "microphone.absent_s" in out
    assert out.count("\n") == 1
