"""Doubles and signals for tests of sources, stages and sinks, of airsift and of your own.

A pipeline between two doubles::

    from stream.runner import Stop, run_source
    from stream.testing import ListSink, ListSource, chunks_of, programme

    source = ListSource([[chunk] for chunk in chunks_of(programme(60), 16_000)])
    sink = ListSink()
    run_source(source, pipeline, [sink], checkpoint_s=1.0, stop=Stop())
    assert [event.label for event in sink.events if event.kind == "segment" and event.final]

Signals are the same for the same arguments, on every machine.
"""

from __future__ import annotations

import itertools
import wave
from typing import TYPE_CHECKING

import numpy as np

from airsift.errors import Backpressure
from stream.audio import AudioChunk
from stream.sinks.base import Sink
from stream.sources.base import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from stream.events import Event
    from stream.runner import Stop
    from stream.snapshot import StoredSnapshot
    from stream.sources.base import SourceItem

RATE = 16_000


class ListSource(Source):
    """A source that yields given lists of items, and records the snapshots it is given to store.

    Parameters
    ----------
    batches : iterable of list of AudioChunk, Resumed or Lost
        Yielded in order; then the source ends.
    resumable : bool
        As of every source: whether another process can continue where this one stops.
    stop : Stop, optional
        Requested before batch `stop_at` is yielded, as a signal would do.
    stop_at : int >= 0, optional
        Index of that batch.

    Attributes
    ----------
    checkpoints : list of mapping of str to StoredSnapshot
        The snapshots of each checkpoint, by station.
    """

    def __init__(
        self,
        batches: Iterable[Sequence[SourceItem]],
        *,
        resumable: bool = False,
        stop: Stop | None = None,
        stop_at: int | None = None,
    ) -> None:
        self.batches = list(batches)
        self.resumable = resumable
        self.checkpoints: list[Mapping[str, StoredSnapshot]] = []
        self._stop, self._stop_at = stop, stop_at

    def __iter__(self) -> Iterator[Sequence[SourceItem]]:
        for number, batch in enumerate(self.batches):
            if self._stop is not None and number == self._stop_at:
                self._stop.request()
            yield batch

    def checkpoint(self, snapshots: Mapping[str, StoredSnapshot]) -> None:
        self.checkpoints.append(snapshots)


class ListSink(Sink):
    """A sink that collects events in a list.

    Parameters
    ----------
    refusals : int >= 0
        Number of first calls of `write` that raise `Backpressure`, as a full queue does.

    Attributes
    ----------
    events : list of Event
        The events written so far.
    flushed : int
        Number of events written before the last `flush`.
    """

    def __init__(self, *, refusals: int = 0) -> None:
        self.events: list[Event] = []
        self.flushed = 0
        self._refusals = refusals

    def write(self, events: Sequence[Event]) -> None:
        if self._refusals:
            self._refusals -= 1
            raise Backpressure("full", retry_after_s=0.0)
        self.events += events

    def flush(self) -> None:
        self.flushed = len(self.events)

    def close(self) -> None:
        self.flush()


class ManualClock:
    """A clock that stands still until a test sets `now`; pass it where a clock is a parameter.

    Parameters
    ----------
    now : float
        The time that the clock shows, in seconds.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def tone(
    seconds: float, rate: int = RATE, *, hz: float = 440.0, level: float = 0.5
) -> NDArray[np.float32]:
    """Return a sine of frequency `hz` and amplitude `level`, of shape [n]."""
    t = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def noise(
    seconds: float, rate: int = RATE, *, level: float = 0.25, seed: int = 0
) -> NDArray[np.float32]:
    """Return white noise in [-level, level], of shape [n]; its values fit 16-bit samples."""
    peak = round(level * 32_768)
    values = np.random.default_rng(seed).integers(-peak, peak, round(seconds * rate))
    return (values / 32_768).astype(np.float32)


def speech_like(seconds: float, rate: int = RATE, *, seed: int = 0) -> NDArray[np.float32]:
    """Return three syllables a second of a voice with a gliding pitch, of shape [n]."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    pitch = 150 + 40 * np.sin(2 * np.pi * rng.uniform(0.6, 0.9) * t + rng.uniform(0, 2 * np.pi))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voiced = sum(np.sin(k * phase) / k for k in range(1, 12))
    syllables = np.sin(2 * np.pi * 3 * t) > -0.6
    return (0.1 * voiced * syllables).astype(np.float32)


def music_like(seconds: float, rate: int = RATE, *, seed: int = 0) -> NDArray[np.float32]:
    """Return chords of six notes that change four times a second, of shape [n]."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    out = np.zeros(len(t))
    for start in range(0, len(t), rate // 4):
        part = slice(start, start + rate // 4)
        for hz in 220 * 2 ** (rng.integers(0, 36, 6) / 12):
            out[part] += np.sin(2 * np.pi * hz * t[part])
    return (0.03 * out).astype(np.float32)


def programme(seconds: float, rate: int = RATE, *, seed: int = 0) -> NDArray[np.float32]:
    """Return stretches of `speech_like`, of `music_like` and of silence in turn, of shape [n].

    Each sounding stretch has 6 to 12 s, each silence 3 s. The shipped model labels them speech,
    music and other.
    """
    rng = np.random.default_rng(seed)
    out = np.zeros(round(seconds * rate), np.float32)
    start = 0
    for number, signal in enumerate(itertools.cycle((speech_like, music_like))):
        if start >= len(out):
            break
        part = signal(float(rng.uniform(6, 12)), rate, seed=seed + number)
        out[start : start + len(part)] = part[: len(out) - start]
        start += len(part) + 3 * rate * (number % 2)
    return out


def chunks_of(
    samples: NDArray[np.float32],
    size: int | None = None,
    *,
    cuts: Iterable[int] = (),
    station: str = "a",
    rate: int = RATE,
    start: int = 0,
    time: float | None = None,
) -> list[AudioChunk]:
    """Return consecutive chunks of a signal.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,) or (n, channels), float32]
        The signal.
    size : int > 0, optional
        Samples in each chunk but the last; without it, only `cuts` divide the signal.
    cuts : iterable of int
        Further indices at which a chunk ends; those outside the signal are ignored.
    station : str
        The station of the chunks.
    rate : int > 0
        Samples per second.
    start : int >= 0
        Index of the first sample of the signal in the station's audio.
    time : float, optional
        Unix time of the first sample of the signal, in seconds.
    """
    n = len(samples)
    inner = {*cuts, *range(0, n, size or n or 1)}
    edges = sorted({0, n, *(cut for cut in inner if 0 < cut < n)})
    return [
        AudioChunk(
            station, start + a, samples[a:b], rate, None if time is None else time + a / rate
        )
        for a, b in itertools.pairwise(edges)
    ]


def write_wav(path: Path, samples: NDArray[np.float32], rate: int = RATE) -> Path:
    """Write samples of shape [n] or [n, channels], full scale ±1, as 16 bit; return the path."""
    with wave.open(str(path), "wb") as out:
        out.setparams((1 if samples.ndim == 1 else samples.shape[1], 2, rate, 0, "NONE", ""))
        out.writeframes(np.round(np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes())
    return path
