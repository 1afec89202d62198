"""Windows judged alone, for those who want a table of a file and no stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from model.frontend.rolling_cqt import cqt
from stream.audio import AudioChunk, Cut
from stream.stages.align import Align
from stream.stages.features import MAX_ROWS
from stream.stages.mono import ToMono
from stream.stages.resample import Resample

if TYPE_CHECKING:
    from model.classifier import Classifier
    from model.frontend.base import FrontEnd
    from stream.sources.base import Source


@dataclass(frozen=True, slots=True)
class JudgedWindow:
    """A window and what the network says of it.

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


class JudgeWindows:
    """Cut a source into windows that do not overlap, and judge each with silence around it.

    Parameters
    ----------
    front_end : FrontEnd
        Computes columns.
    classifier : Classifier
        Judges windows.
    device : str
        Where both are, in torch's words.

    Raises
    ------
    SpecMismatch
        The front end computes other columns than the network was trained on.
    """

    def __init__(self, front_end: FrontEnd, classifier: Classifier, device: str) -> None:
        classifier.spec.check_front_end(front_end)
        self.device = device
        self.front_end = front_end
        self.classifier = classifier
        spec = classifier.spec
        self.rate = spec.sample_rate
        self.length = spec.window_columns * spec.hop
        self.labels = spec.labels

    def windows(self, source: Source) -> Iterator[JudgedWindow]:
        """Yield each whole window of the one station of `source`.

        Audio breaks off at gaps: a window never spans one.
        """
        rest: AudioChunk | None = None
        pending: list[AudioChunk] = []
        for item in _audio(source, self.rate):
            if isinstance(item, Cut):
                rest = None
                continue
            rest = item if rest is None else _join(rest, item)
            while len(rest.samples) >= self.length:
                head, rest = _split(rest, self.length)
                pending.append(head)
            while len(pending) >= MAX_ROWS:
                yield from self._judge(pending[:MAX_ROWS])
                del pending[:MAX_ROWS]
        yield from self._judge(pending)

    def _judge(self, windows: Sequence[AudioChunk]) -> Iterator[JudgedWindow]:
        if not windows:
            return
        spec = self.classifier.spec
        samples = torch.from_numpy(np.stack([window.samples for window in windows]))
        with torch.inference_mode():
            columns = cqt(samples.to(self.device), self.front_end)
        frames = self.classifier.embed(columns[:, : spec.window_columns])
        for window, judged in zip(windows, self.classifier.decide(frames).tolist(), strict=True):
            named = dict(zip(spec.labels, judged, strict=True))
            yield JudgedWindow(window.start, window.end, self.rate, named)


def _audio(source: Source, rate: int) -> Iterator[AudioChunk | Cut]:
    align, mono, resample = Align(rate), ToMono(rate), Resample(rate)
    for batch in source:
        yield from resample.push(mono.push(align.push(batch.chunks)))
    yield from resample.push(mono.push(align.push([], last=True)))


def _join(a: AudioChunk, b: AudioChunk) -> AudioChunk:
    return AudioChunk(a.station, a.start, np.concatenate([a.samples, b.samples]), a.rate)


def _split(chunk: AudioChunk, n: int) -> tuple[AudioChunk, AudioChunk]:
    head = AudioChunk(chunk.station, chunk.start, chunk.samples[:n], chunk.rate)
    return head, AudioChunk(chunk.station, chunk.start + n, chunk.samples[n:], chunk.rate)
