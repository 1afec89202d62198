"""Live streams of servers that behave as real ones do, in real time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from stream.audio import AudioChunk
from stream.sources.http import HttpSource
from stream.sources.settings import HttpSettings
from tests.stream.radio_server import RATE, AacStation, Listener, OggStation, Station, programme
from tests.stream.web_server import Request, length_s, radio

# They take seconds of real time each.
pytestmark = pytest.mark.slow

# The audio of a whole test, and its MP3, are made once.
PROGRAMME = programme(60)


def received(
    station: Station, seconds: float, *, timeout_s: float = 3.0, settle_s: float = 1.0
) -> tuple[list[AudioChunk], HttpSource]:
    """Listen for some time; check what holds of any live stream."""
    chunks: list[AudioChunk] = []
    with radio({"/live": station}) as (url, _):
        settings = HttpSettings.default(timeout_s=timeout_s, max_backoff_s=0.5)
        source = HttpSource(f"{url}/live", "radio", settings, settle_s=settle_s)
        end = time.monotonic() + seconds
        try:
            for batch in source:
                for chunk in batch:
                    assert chunk.time is not None
                    assert chunk.time + len(chunk.samples) / chunk.rate <= time.time() + 0.01
                chunks += batch
                if time.monotonic() > end:
                    break
        finally:
            source.close()
    assert all(b.start >= a.end for a, b in pairwise(chunks))
    return chunks, source


def gaps_s(chunks: list[AudioChunk]) -> list[float]:
    return [(b.start - a.end) / RATE for a, b in pairwise(chunks) if b.start != a.end]


def place_s(samples: NDArray[np.float32]) -> float:
    """Return the second of the programme at which some audio was."""
    products = fftconvolve(PROGRAMME, samples[::-1])
    return (int(np.argmax(products)) - len(samples) + 1) / RATE


def check_dates(station: Station, chunks: list[AudioChunk], within_s: float = 1.5) -> None:
    """Hold the time of each chunk, where it can be recognised, against when it was on air."""
    for chunk in chunks[:: max(len(chunks) // 10, 1)]:
        if len(chunk.samples) >= RATE // 4:
            on_air = station.began + place_s(chunk.samples)
            assert chunk.time == pytest.approx(on_air, abs=within_s)


@pytest.mark.parametrize(
    # AAC makes up the noise that it does not code.
    ("kind", "likeness"),
    [(Station, 0.97), (AacStation, 0.85), (OggStation, 0.9999)],
)
def test_drops_that_bursts_bridge_are_no_gaps_and_repeat_nothing(
    kind: type[Station], likeness: float
) -> None:
    station = kind(PROGRAMME, 4.0, 10.0, lambda listener: listener.play(3.0))
    chunks, source = received(station, 13.0)
    assert source.reconnects >= 2
    assert gaps_s(chunks) == []
    check_dates(station, chunks)
    # It is the programme, from its burst on, sample for sample but for the joints of MP3.
    audio = np.concatenate([chunk.samples for chunk in chunks])
    begin = round(place_s(audio[: 2 * RATE]) * RATE)
    original = PROGRAMME[begin : begin + len(audio)]
    alike = np.dot(audio, original) / np.linalg.norm(audio) / np.linalg.norm(original)
    assert alike > likeness
    assert begin / RATE == pytest.approx(6, abs=1)


def test_a_server_that_restarts_without_a_burst_leaves_gaps_of_the_time_it_was_away() -> None:
    def script(listener: Listener) -> None:
        if listener.visit > 1:
            listener.at = listener.station.on_air()
        listener.play(4.0)

    station = Station(PROGRAMME, 2.0, 5.0, script)
    chunks, source = received(station, 12.0)
    assert source.reconnects >= 1
    check_dates(station, chunks)
    assert len(gaps_s(chunks)) in (source.reconnects, source.reconnects - 1)
    assert all(0.02 <= gap <= 1.5 for gap in gaps_s(chunks))
    assert {chunk.gap_reason for chunk in chunks} == {"missing", "reconnect"}


@pytest.mark.parametrize("lost", [True, False])
def test_a_stall_is_a_gap_only_if_its_audio_was_lost(lost: bool) -> None:
    def script(listener: Listener) -> None:
        listener.play(4.0)
        listener.stall(4.0, lost=lost)
        listener.play(1e9)

    station = Station(PROGRAMME, 1.0, 5.0, script)
    chunks, source = received(station, 13.0, timeout_s=8.0)
    assert source.reconnects == 0
    assert gaps_s(chunks) == ([pytest.approx(4.0, abs=0.8)] if lost else [])
    check_dates(station, chunks)
    assert chunks[-1].end / RATE == pytest.approx(13.0, abs=2.5)


def test_time_begins_with_the_first_audio_and_not_when_it_is_read() -> None:
    station = Station(PROGRAMME, 3.0, 5.0)
    with radio({"/live": station}) as (url, _):
        source = HttpSource(
            f"{url}/live", "radio", HttpSettings.default(timeout_s=3.0), settle_s=1.0
        )
        opened = time.time()
        time.sleep(4.0)  # models are loaded meanwhile
        chunks = []
        for batch in source:
            chunks += batch
            if length_s(chunks) > 6:
                break
        source.close()
    assert chunks[0].time == pytest.approx(opened - 3.0, abs=1.0)
    assert gaps_s(chunks) == []
    check_dates(station, chunks)


@pytest.mark.parametrize(
    "headers",
    [
        {"icy_name": "Radio", "Content_Length": "100000000"},
        {"ice_audio_info": "bitrate=64", "Content_Length": "14000", "Accept_Ranges": "bytes"},
        {"Content_Length": "100000000"},
    ],
)
def test_a_live_stream_that_states_a_length_is_connected_to_again(headers: dict[str, str]) -> None:
    station = Station(PROGRAMME, 2.0, 10.0, lambda listener: listener.play(2.0), headers)
    chunks, source = received(station, 9.0)
    assert source.live
    assert source.reconnects >= 1
    assert source.warnings == []
    assert length_s(chunks) > 6
    check_dates(station, chunks)


class Chunked(Station):
    """Sends chunks, and ends them properly after 2 s."""

    def __call__(self, request: Request) -> None:
        self.visits += 1
        request.protocol_version = "HTTP/1.1"
        request.head(Content_Type="audio/mpeg", Transfer_Encoding="chunked")
        at, end = self.on_air() - int(2 * self.bytes_per_s), time.time() + 2.0
        while time.time() < end:
            data = self.data[at : self.on_air()]
            at += len(data)
            if data:
                request.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            time.sleep(0.1)
        request.wfile.write(b"0\r\n\r\n")


def test_chunks_that_end_properly_are_no_end_of_a_live_stream() -> None:
    station = Chunked(PROGRAMME, 2.0, 10.0)
    chunks, source = received(station, 8.0)
    assert source.reconnects >= 1
    assert sum(gaps_s(chunks)) < 1
    check_dates(station, chunks)


@pytest.mark.process
def test_a_run_dates_events_by_the_wall_clock(tmp_path: Path) -> None:
    """A station that bursts and drops has no event in the future, no gap and no repetition."""
    events = tmp_path / "events.jsonl"
    station = Station(PROGRAMME, 5.0, 20.0, lambda listener: listener.play(4.0))
    with radio({"/live": station}) as (url, _):
        command = [
            sys.executable, "-m", "airsift", "run", "--source", f"{url}/live", "--sink",
            f"jsonl:{events}", "--station", "radio", "--set", "http.max_backoff_s=0.5",
        ]  # fmt: skip
        root = Path(__file__).parents[2]
        env = dict(os.environ, OMP_NUM_THREADS="1")
        run = subprocess.Popen(command, cwd=root, env=env, stderr=subprocess.PIPE, text=True)
        try:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and run.poll() is None:
                lines = events.read_text().splitlines() if events.exists() else []
                if sum('"airsift.decision' in line for line in lines) >= 12 and station.visits > 2:
                    break
                time.sleep(0.2)
            read_at = time.time()
            run.send_signal(signal.SIGINT)
            _, log = run.communicate(timeout=30)
        finally:
            run.kill()
            run.wait()
    assert run.returncode == 0, log
    found = [json.loads(line) for line in events.read_text().splitlines()]
    decisions = [event for event in found if event["schema"].startswith("airsift.decision")]
    assert len(decisions) >= 12, log
    assert not [event for event in found if event["schema"].startswith("airsift.gap")]
    from datetime import datetime

    for event in decisions:
        at = datetime.fromisoformat(event["time"]).timestamp()
        assert station.began <= at <= read_at
        # The window's place in the station, and its date, agree with the programme's clock.
        assert at + event["end_s"] - event["start_s"] <= read_at + 0.2
    begin = [datetime.fromisoformat(e["time"]).timestamp() - e["start_s"] for e in decisions]
    assert max(begin) - min(begin) < 0.1
    assert station.visits >= 3
