"""The audio that flows: chunks of one station, counted in samples, its breaks and its end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from stream.trace_context import NO_TRACE, TraceContext

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Why a stream ended: its source ended it, or it was idle for too long.
Ending = Literal["sent", "idle"]


@dataclass(frozen=True, slots=True, eq=False)
class AudioChunk:
    """Consecutive samples of one station.

    Parameters
    ----------
    station : str
        The stream this audio belongs to.
    start : int >= 0
        Index of the first sample, at `rate`, from the station's sample 0. A start that lies
        after the end of the chunk before it means the samples between are lost.
    samples : np.ndarray [shape=(n,) or (n, channels), float32]
        Samples, full scale is +-1. Behind `stream.stages.mono.ToMono` all are mono, of shape (n,).
    rate : int > 0
        Samples per second.
    time : float, optional
        Unix time of the first sample in seconds, where the source knows it.
    gap_reason : str
        Why audio before this chunk is missing, should any be missing.
    ends : {"sent", "idle"}, optional
        How the stream ends with this chunk, which may have no samples; None where it goes on.
        What comes later begins a new session.
    title : str, optional
        What the source says is playing, as a web radio may.
    trace : TraceContext
        The trace that its message belongs to, by W3C Trace Context; `NO_TRACE` where it has none.
    """

    station: str
    start: int
    samples: NDArray[np.float32]
    rate: int
    time: float | None = None
    gap_reason: str = "missing"
    ends: Ending | None = None
    title: str | None = None
    trace: TraceContext = NO_TRACE

    @property
    def end(self) -> int:
        """Index of the sample after the last, at `rate`."""
        return self.start + len(self.samples)


@dataclass(frozen=True, slots=True)
class Discontinuity:
    """Audio is missing: stages end what they have and begin anew behind it.

    Parameters
    ----------
    station : str
        The station whose audio breaks off.
    start, end : int >= 0
        No audio in [start, end), in samples at `rate`.
    rate : int > 0
        Samples per second that `start` and `end` count in.
    reason : str
        Why audio is missing.
    """

    station: str
    start: int
    end: int
    rate: int
    reason: str


@dataclass(frozen=True, slots=True)
class EndOfStream:
    """A station's stream ends. What comes later begins a new one.

    Parameters
    ----------
    station : str
        The station that ends.
    start : int >= 0
        Index of the sample after the last, at `rate`.
    rate : int > 0
        Samples per second.
    ends : {"sent", "idle"}, optional
        Why it ends; None where audio goes on behind it.
    """

    station: str
    start: int
    rate: int
    ends: Ending | None = field(default=None, compare=False)


def moved(chunk: AudioChunk, samples: int, rate: int) -> AudioChunk:
    """Return a chunk that begins `samples` later, which count at `rate`."""
    return replace(chunk, start=chunk.start + rescale(samples, rate, chunk.rate))


def end_of(station: str, rate: int) -> AudioChunk:
    """Return a chunk without samples with which a station's stream ends."""
    return AudioChunk(station, 0, np.zeros(0, np.float32), rate, ends="sent")


def rescale(sample: int, rate: int, to: int) -> int:
    """Return the index at rate `to` of the sample nearest to `sample` at `rate`, half up."""
    return (2 * sample * to + rate) // (2 * rate)
