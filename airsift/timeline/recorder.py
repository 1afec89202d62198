"""Collects what a pipeline computes of one file, as it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from airsift.timeline.cells import Cells
from stream.audio import AudioChunk, Discontinuity
from stream.events import Decision, Match, Segment
from stream.stages.features import Columns
from stream.telemetry.observer import Observer

if TYPE_CHECKING:
    from stream.pipeline import Pipeline
    from stream.session import Item

SPEECH, MUSIC = 0, 1


@dataclass(frozen=True, slots=True)
class Span:
    """A label in [start_s, end_s), and the name of the song, if it is one."""

    start_s: float
    end_s: float
    label: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Timeline:
    """A file over time. All lengths of time follow from `unit_s` and the width of the cells.

    Parameters
    ----------
    name : str
        The file.
    length_s : float > 0
        To the end of its audio.
    wave, columns, posteriors : Cells
        Samples [1 value], constant-Q columns [1 value a bin], and decisions [speech, music].
    wave_unit_s, columns_unit_s, posteriors_unit_s : float > 0
        Seconds of one unit of each.
    fmin_hz : float > 0
        Frequency of the first bin.
    bins_per_octave : int > 0
        Bins.
    segments, songs, gaps : list of Span
        The final events. A song's label is "song"; a gap's is its reason.
    """

    name: str
    length_s: float
    wave: Cells
    columns: Cells
    posteriors: Cells
    wave_unit_s: float
    columns_unit_s: float
    posteriors_unit_s: float
    fmin_hz: float
    bins_per_octave: int
    segments: list[Span]
    songs: list[Span]
    gaps: list[Span]


class Recorder(Observer):
    """Observes a run over one file. Its memory does not grow with the audio, only with its events.

    Parameters
    ----------
    pipeline : Pipeline
        The one that is run.
    fmin_hz, bins_per_octave
        Of its columns.
    """

    def __init__(self, pipeline: Pipeline, *, fmin_hz: float, bins_per_octave: int) -> None:
        self._rate, self._hop = pipeline.rate, pipeline.hop
        self._fmin_hz, self._bins_per_octave = fmin_hz, bins_per_octave
        self._wave, self._columns = Cells(1), Cells(1)
        self._posteriors = Cells(2)
        self._end = 0
        self._segments: list[Span] = []
        self._songs: list[Span] = []
        self._gaps: list[Span] = []

    def on_items(self, items: Sequence[Item]) -> None:
        for item in items:
            match item:
                case AudioChunk():
                    self._wave.add(item.start, item.samples[:, None])
                    self._end = max(self._end, item.end)
                case Columns():
                    if not self._columns.used:
                        self._columns = Cells(item.values.shape[1])
                    self._columns.add(item.start, item.values)
                case Decision() if item.final:
                    self._decision(item)
                case Segment() if item.final:
                    self._segments.append(self._span(item.start, item.end, item.label))
                case Match() if item.final:
                    self._songs.append(self._span(item.start, item.end, "song", _name(item)))
                case Discontinuity():
                    self._gaps.append(self._span(item.start, item.end, item.reason))

    def timeline(self, name: str) -> Timeline:
        """Return what was collected, under the name of the file."""
        return Timeline(
            name, self._end / self._rate, self._wave, self._columns, self._posteriors,
            1 / self._rate, self._hop / self._rate, 0.5, self._fmin_hz, self._bins_per_octave,
            sorted(self._segments, key=_begin), sorted(self._songs, key=_begin), self._gaps,
        )  # fmt: skip

    def _decision(self, decision: Decision) -> None:
        # Decisions are a second apart; where audio begins or ends, their middles are half of it.
        unit = (decision.start + decision.end) // self._rate
        values = np.array([[decision.p_speech, decision.p_music]], np.float32)
        self._posteriors.add(unit, values)

    def _span(self, start: int, end: int, label: str, name: str = "") -> Span:
        return Span(start / self._rate, end / self._rate, label, name)


def _begin(span: Span) -> float:
    return span.start_s


def _name(match: Match) -> str:
    from stream.sinks.format import song

    return song(match.artist, match.title, match.track)
