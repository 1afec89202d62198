"""Windows classified one by one, for a table of a file instead of a stream.

What is left of the audio at an end or a gap is a window too, if it has 0.5 s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model.backend import columns_of
from model.short import SHORTEST_COLUMNS, window_frames
from stream.audio import AudioChunk, end_of
from stream.sources.base import audio_of
from stream.stages.align import Align, Aligned
from stream.stages.features import MAX_ROWS
from stream.stages.mono import ToMono
from stream.stages.resample import Resample

if TYPE_CHECKING:
    from model.backend import Classifier, FrontEnd
    from stream.sources.base import Source


@dataclass(frozen=True, slots=True)
class WindowPrediction:
    """A window and its probabilities.

    Parameters
    ----------
    start, end : int >= 0
        First sample and the sample after the last, at `rate`.
    rate : int > 0
        Samples per second.
    probabilities : dict of str to float
        By label, independent of each other.
    """

    start: int
    end: int
    rate: int
    probabilities: dict[str, float]


class ClipClassifier:
    """Cut a source into windows that do not overlap, and classify each with silence around it.

    Parameters
    ----------
    front_end : FrontEnd
        Computes columns.
    classifier : Classifier
        Classifies windows.

    Raises
    ------
    SpecMismatch
        The front end computes other columns than the network was trained on.
    """

    def __init__(self, front_end: FrontEnd, classifier: Classifier) -> None:
        classifier.spec.check_front_end(front_end)
        self.front_end = front_end
        self.classifier = classifier
        spec = classifier.spec
        self.rate = spec.sample_rate
        self.length = spec.window_columns * spec.hop
        self.shortest = SHORTEST_COLUMNS * spec.hop
        self.labels = spec.labels

    def windows(self, source: Source) -> Iterator[WindowPrediction]:
        """Yield each window of the one station of `source`.

        Audio breaks off at gaps: a window never spans one, and is shorter before one.
        """
        rest: AudioChunk | None = None
        pending: list[AudioChunk] = []
        for item in mono_audio(source, self.rate):
            if not isinstance(item, AudioChunk):
                yield from self._classify(pending)
                pending.clear()
                if rest is not None and len(rest.samples) >= self.shortest:
                    yield from self._classify([rest])
                rest = None
                continue
            rest = item if rest is None else _join(rest, item)
            while len(rest.samples) >= self.length:
                head, rest = _split(rest, self.length)
                pending.append(head)
            while len(pending) >= MAX_ROWS:
                yield from self._classify(pending[:MAX_ROWS])
                del pending[:MAX_ROWS]
        yield from self._classify(pending)

    def _classify(self, windows: Sequence[AudioChunk]) -> Iterator[WindowPrediction]:
        """Yield the predictions of windows of one length."""
        if not windows:
            return
        spec = self.classifier.spec
        samples = np.stack([window.samples for window in windows])
        columns = columns_of(samples, self.front_end)
        frames = window_frames(self.classifier, columns[:, : spec.window_columns])
        for window, p in zip(windows, self.classifier.decide(frames).tolist(), strict=True):
            named = dict(zip(spec.labels, p, strict=True))
            yield WindowPrediction(window.start, window.end, self.rate, named)


def mono_audio(source: Source, rate: int) -> Iterator[Aligned]:
    """Yield the audio of a source as mono at a rate, in order, with its breaks and ends."""
    align, mono, resample = Align(rate), ToMono(rate), Resample(rate)
    for items in source:
        yield from resample.push(mono.push(align.push(audio_of(items))))
    ends = [end_of(station, rate) for station in align.sessions]
    yield from resample.push(mono.push(align.push(ends)))


def _join(a: AudioChunk, b: AudioChunk) -> AudioChunk:
    return AudioChunk(a.station, a.start, np.concatenate([a.samples, b.samples]), a.rate)


def _split(chunk: AudioChunk, n: int) -> tuple[AudioChunk, AudioChunk]:
    head = AudioChunk(chunk.station, chunk.start, chunk.samples[:n], chunk.rate)
    return head, AudioChunk(chunk.station, chunk.start + n, chunk.samples[n:], chunk.rate)
