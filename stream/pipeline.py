"""The system in one screen: chunks of any stations in, events out.

::

    chunks ─> align ─> mono ─> resample ─┬─> columns ─> classify ─> voice ─> smooth ─┬─> identify
                                         └──────────── (audio, for music) ───────────┘      │
                                                                                          events

Every stage has one method, ``push(items) -> list``: it takes the next items and returns what
they complete, so ``push(a) + push(b)`` equals ``push(a + b)`` for every station, and a file is
a stream that comes in one piece. Where a station's audio breaks off, a `Cut` goes down the
same road and each stage ends that station's session as it passes.

Time is an integer number of samples from the station's sample 0. Columns (20 ms), steps (1 s)
and windows (5 s) lie on multiples of their length, so a restart repeats the same decisions
with the same ids.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stream.audio import AudioChunk, Cut
from stream.events import Event, Gap
from stream.snapshot import VERSION, why_no_snapshot
from stream.stages.align import Align
from stream.stages.classify import Classify
from stream.stages.clock import Clock
from stream.stages.features import ComputeColumns
from stream.stages.identify import Identify
from stream.stages.mono import ToMono
from stream.stages.resample import Resample
from stream.stages.smooth import Smooth, SmoothSettings
from stream.stages.voice import Voice

if TYPE_CHECKING:
    from model.classifier import Classifier
    from model.frontend.base import FrontEnd

log = logging.getLogger(__name__)


class Pipeline:
    """Hear, judge and name the audio of any number of stations.

    Parameters
    ----------
    front_end : FrontEnd
        Computes columns; must fit the classifier's spec.
    classifier : Classifier
        Judges windows.
    smoothing : SmoothSettings
        How decisions become segments.
    identify : Identify, optional
        Names the music. Without one, nothing is named.
    device : str
        Where the front end and the networks are, in torch's words.
    voice : Classifier, optional
        Tells female from male voices. Without one, no voice is judged.
    reorder_s : float >= 0
        Seconds of audio that wait for a late chunk at most, see `Align`.

    Raises
    ------
    SpecMismatch
        The front end computes other columns than one of the networks was trained on.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        classifier: Classifier,
        smoothing: SmoothSettings,
        identify: Identify | None = None,
        device: str = "cpu",
        voice: Classifier | None = None,
        *,
        reorder_s: float = 0.0,
    ) -> None:
        classifier.spec.check_front_end(front_end)
        self.rate = classifier.spec.sample_rate
        self.hop = classifier.spec.hop
        self.clock = Clock()
        self.align = Align(self.rate, reorder_s)
        self.mono = ToMono(self.rate)
        self.resample = Resample(self.rate)
        self.columns = ComputeColumns(front_end, classifier.spec.step_columns, device)
        self.classify = Classify(classifier)
        self.voice = Voice(voice, classifier.spec) if voice else None
        self.smooth = Smooth(smoothing)
        self.identify = identify
        # What stations were restored from, until a decision or a cut goes beyond it.
        self._restored: dict[str, dict[str, Any]] = {}

    @property
    def counts(self) -> Counter[str]:
        """Chunks seen, dropped, late, trimmed and put in order, and gaps found."""
        return self.align.counts

    def push(self, chunks: Sequence[AudioChunk], *, last: bool = False) -> list[Event]:
        """Take the next chunks of any stations; return the events they complete.

        Parameters
        ----------
        chunks : sequence of AudioChunk
            In order within a station as far as the source knows.
        last : bool
            Whether all streams end here: open segments are then closed, and the pipeline is
            as new. A chunk's ``ends`` says so of its station alone.

        Returns
        -------
        list of Event
            In order within a station.
        """
        events = self._hear(self.align.push(chunks, last=last))
        if last:  # only now: the last events are dated by it
            self.clock = Clock()
            self._restored.clear()
        return events

    def _hear(self, aligned: Sequence[AudioChunk | Cut]) -> list[Event]:
        """Return the events that audio in order completes."""
        self.clock.push(aligned)
        audio = self.resample.push(self.mono.push(aligned))
        columns = self.columns.push(audio)
        decisions = self.classify.push(columns)
        for item in decisions:
            self._restored.pop(item.station, None)
        if self.voice:
            decisions = self.voice.push(columns, decisions)
        segments = self.smooth.push(decisions)
        events = self.identify.push(audio, segments) if self.identify else segments
        return [self._publish(event) for event in events if not _is_end(event)]

    def forget(self, station: str) -> None:
        """Drop a station without ending it: another worker goes on with it."""
        self._restored.pop(station, None)
        for stage in self._stages():
            stage.forget(station)

    def snapshot(self, station: str) -> dict[str, Any]:
        """Return what `restore` needs to go on with a station in another process.

        It is small, because audio is not in it: whoever restores must push the station's
        audio again from sample ``oldest`` (at the pipeline's rate) on. Until that audio has
        brought a new decision, the snapshot is the one that was restored: nothing else is
        known, and nothing has been published since.

        Returns
        -------
        dict
            Of JSON's types, as `stream.snapshot` describes them.
        """
        if station in self._restored:
            return self._restored[station]
        window = self.classify.next_window(station)
        return {
            "version": VERSION,
            "rate": self.rate,
            "hop": self.hop,
            "oldest": self._oldest(station, window),
            "position": self.align.position(station),
            "window": window,
            "clock": self.clock.snapshot(station),
            "voice": self.voice.snapshot(station) if self.voice else None,
            "smooth": self.smooth.snapshot(station),
            "identify": self.identify.snapshot(station) if self.identify else None,
        }

    def restore(self, station: str, snapshot: Mapping[str, Any]) -> bool:
        """Go on with a station where `snapshot` was taken; decisions before it are not repeated.

        Returns
        -------
        bool
            False for what is no snapshot of this version, or one of a model with other columns:
            the station then begins anew.
        """
        self.forget(station)
        why = why_no_snapshot(snapshot, station)
        if not why and (snapshot["rate"], snapshot["hop"]) != (self.rate, self.hop):
            why = "it is of a model with other columns"
        if why:
            log.warning("its snapshot is not used: %s", why, extra={"station": station})
            return False
        self._restored[station] = dict(snapshot)
        self.align.restore(station, snapshot["oldest"], snapshot["position"])
        for stage, part in (
            (self.columns, snapshot["window"]),
            (self.clock, snapshot["clock"]),
            (self.voice, snapshot["voice"]),
            (self.smooth, snapshot["smooth"]),
            (self.identify, snapshot["identify"]),
        ):
            if stage is not None and part is not None:
                stage.restore(station, part)
        return True

    def _oldest(self, station: str, window: int | None) -> int:
        """Return the first sample that the stages need again."""
        needed = [
            self.columns.oldest(station, window),
            self.identify.oldest(station) if self.identify else None,
        ]
        if needed[0] is None:  # all that came is still in front of the columns
            needed[0] = self.resample.oldest(station)
        if needed[0] is None:
            needed[0] = self.mono.oldest(station)
        # Of audio that is still to come it may be the first whole step; what is missing before
        # that is a gap all the same.
        known = [sample for sample in needed if sample is not None]
        oldest = min([*known, self.align.position(station)])
        return self.mono.needs(station, self.resample.needs(station, oldest))

    def _stages(self) -> list[Any]:
        stages = [self.clock, self.align, self.mono, self.resample, self.columns, self.classify]
        return [*stages, self.smooth, *filter(None, [self.voice, self.identify])]

    def _publish(self, event: Event | Cut) -> Event:
        if isinstance(event, Cut):
            event = Gap(event.station, event.start, event.end, event.rate, None, event.reason or "")
        return self.clock.date(event)


def _is_end(event: Event | Cut) -> bool:
    return isinstance(event, Cut) and event.reason is None
