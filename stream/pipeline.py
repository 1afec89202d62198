"""The system in one screen: audio of any stations in, events out.

::

    AudioChunk ─> align ─> clock ─> levels ─> mono ─> resample ─> columns ─> classify ─> voice
    in any order   in order        loudness,          at the model's  CQT     decisions      │
                                   peaks              rate                                 smooth
                                                                                         segments
                                                                                             │
                                                                                          labels
                                                                                    of your own
    Event <── dated by clock <── alarms <── what is played again <── repeats <── matches,    │
                                                                                 shares      │
                                                                             └── identify <──┘

One list goes down the road. Each stage (`stream.session.Stage`) passes on every item and adds its
own, so the audio that `identify` and `repeats` need passes the stages between. `levels`, `voice`,
`labels`, `identify`, `repeats` and `alarms` are optional. A `Discontinuity` or an `EndOfStream`
ends what each stage but `repeats` has of a station as it passes.

The law: ``push(a) + push(b)`` equals ``push(a + b)`` for every station. A file is a stream that
comes in one piece, and a restart that reads the audio from `Snapshot.oldest` on repeats the same
events with the same ids. For that, time is an integer number of samples from the station's sample
0; columns (20 ms) and steps (1 s) lie on multiples of their length, and windows (5 s, shorter where
audio begins or ends) begin with steps.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from stream.audio import AudioChunk, Discontinuity, EndOfStream, end_of
from stream.events import Decision, Event, Gap
from stream.load import Load
from stream.session import Session, Sessions, Stage
from stream.snapshot import Snapshot
from stream.stages.align import Align
from stream.stages.classify import Classify
from stream.stages.clock import Clock
from stream.stages.features import ComputeColumns
from stream.stages.identify import Identify
from stream.stages.mono import ToMono
from stream.stages.resample import Resample
from stream.stages.smooth import Smooth, SmoothSettings
from stream.stages.voice import Voice
from stream.telemetry.observer import NullObserver, Observer

if TYPE_CHECKING:
    from model.backend import Classifier, FrontEnd
    from stream.session import Item
    from stream.snapshot import StoredSnapshot
    from stream.stages.alarms import WatchAlarms
    from stream.stages.labels import OwnLabels
    from stream.stages.levels import Levels
    from stream.stages.repeats import FindRepeats

log = logging.getLogger(__name__)


class Pipeline:
    """Segment and name the audio of any number of stations.

    Parameters
    ----------
    front_end : FrontEnd
        Computes columns; must fit the classifier's spec.
    classifier : Classifier
        Classifies windows as speech and as music.
    smoothing : SmoothSettings
        How decisions become segments.
    identify : Identify, optional
        Names the music. Without one, nothing is named.
    voice : Classifier, optional
        Tells female from male voices.
    reorder_s : float >= 0
        Maximum seconds of audio that wait for a late chunk, see `Align`.
    repeats : FindRepeats, optional
        Finds what a station plays several times.
    levels : Levels, optional
        Measures the audio as it comes. Without it, decisions have no level.
    alarms : WatchAlarms, optional
        Opens and closes alarms, by the clock too: `push` is then called now and then without audio.
    labels : OwnLabels, optional
        Finds stretches with labels of your own.
    load : Load, optional
        What is left out while the loop is behind; without it, what `identify` was given, if there
        is one. Both have the same.

    Raises
    ------
    ValueError
        `identify` was given another load.
    SpecMismatch
        The front end computes other columns than one of the networks was trained on.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        classifier: Classifier,
        smoothing: SmoothSettings,
        identify: Identify | None = None,
        voice: Classifier | None = None,
        *,
        reorder_s: float = 0.0,
        repeats: FindRepeats | None = None,
        levels: Levels | None = None,
        alarms: WatchAlarms | None = None,
        labels: OwnLabels | None = None,
        load: Load | None = None,
    ) -> None:
        spec = classifier.spec
        spec.check_front_end(front_end)
        self.rate, self.hop = spec.sample_rate, spec.hop
        self.align, self.clock, self.levels = Align(self.rate, reorder_s), Clock(), levels
        self.alarms = alarms
        if alarms is not None:
            alarms.time_of = self.clock.time
        self.stages: tuple[Stage, ...] = (
            self.align,
            self.clock,
            *([levels] if levels else []),
            ToMono(self.rate),
            Resample(self.rate),
            ComputeColumns(front_end, spec.step_columns),
            Classify(classifier),
            *([Voice(voice, spec)] if voice else []),
            Smooth(smoothing),
            *([labels] if labels else []),
            *([identify] if identify else []),
            *([repeats] if repeats else []),
            *([alarms] if alarms else []),
        )
        if load is not None and identify is not None and identify.load is not load:
            raise ValueError("identify has another load than the pipeline; give both the same one")
        self.load = load or (identify.load if identify else Load())
        self.observer: Observer = NullObserver()
        self.sessions = Sessions()
        for stage in self.stages:
            stage.sessions = self.sessions

    @property
    def counts(self) -> Counter[str]:
        """Chunks that came, were dropped, late, trimmed and reordered, and gaps found."""
        return self.align.counts

    @property
    def queries_skipped(self) -> Counter[str]:
        """Queries of each kind that were left out, because a station's budget was spent."""
        identify = next((stage for stage in self.stages if isinstance(stage, Identify)), None)
        return identify.paid.skipped if identify else Counter()

    def push(self, chunks: Sequence[AudioChunk], *, last: bool = False) -> list[Event]:
        """Take the next chunks of any stations; return the events they complete.

        Parameters
        ----------
        chunks : sequence of AudioChunk
            In order within a station as far as the source knows.
        last : bool
            Whether all streams end here: open segments are then closed, and the pipeline is
            as new. A chunk's ``ends`` does so for its station alone.

        Returns
        -------
        list of Event
            In order within a station.
        """
        if not last:
            return self._run(chunks)
        stations = dict.fromkeys([*self.sessions, *(chunk.station for chunk in chunks)])
        events = self._run([*chunks, *(end_of(station, self.rate) for station in stations)])
        events += self.end_alarms(list(self.sessions))
        self.sessions.clear()
        return events

    def _run(self, items: Sequence[Item]) -> list[Event]:
        for stage in self.stages:
            began = time.perf_counter()
            items = stage.push(items)
            self.observer.on_call(stage.name, time.perf_counter() - began)
        self.observer.on_items(items)
        events: list[Event] = []
        for item in items:
            match item:
                case Discontinuity(station, start, end, rate, reason):
                    events.append(self.clock.date(Gap(station, start, end, rate, None, reason)))
                case Event():
                    levelled = self.levels.with_level(item) if self.levels else item
                    events.append(self.clock.date(levelled))
            if isinstance(item, Decision | Discontinuity | EndOfStream):
                self.sessions[item.station].restored = None
        return events

    def end_alarms(self, stations: Sequence[str]) -> list[Event]:
        """Close the alarms of stations that nothing goes on with, not even another process."""
        if self.alarms is None:
            return []
        return [self.clock.date(alarm) for alarm in self.alarms.finish(stations)]

    def open_alarms(self) -> list[Event]:
        """Return the alarms that are open, as they opened."""
        if self.alarms is None:
            return []
        return [self.clock.date(alarm) for alarm in self.alarms.open_alarms()]

    def forget(self, station: str) -> None:
        """Drop a station without ending it: another worker goes on with it."""
        self.sessions.pop(station, None)

    def snapshot(self, station: str) -> StoredSnapshot:
        """Return what `restore` needs to go on with a station in another process.

        It is small, because audio is not in it: the audio from its ``oldest`` sample on must be
        pushed again. Until the first decision or break after `restore`, it is the snapshot that was
        restored: nothing else is known, and nothing has been published since.
        """
        session = self.sessions.get(station) or Session(station)  # `get` makes none
        if session.restored is not None:
            return session.restored.encode()
        parts = {stage.name: stage.snapshot(session) for stage in self.stages}
        parts["work"] = session.work
        oldest: int = self.align.snapshot(session)
        for stage in reversed(self.stages):
            oldest = stage.oldest(session, oldest)
        return Snapshot.of(parts, rate=self.rate, hop=self.hop, oldest=oldest).encode()

    def restore(self, station: str, stored: StoredSnapshot) -> bool:
        """Go on with a station where a snapshot was taken; decisions before it are not repeated.

        Returns
        -------
        bool
            False for what is no snapshot of this version, or one of a model with other columns:
            the station then begins anew.
        """
        self.forget(station)
        try:
            snapshot = Snapshot.from_json(stored.to_json(), station)
            if (snapshot.rate, snapshot.hop) != (self.rate, self.hop):
                raise ValueError("it is of a model with other columns")
        except ValueError as error:
            log.warning("its snapshot is not used: %s", error, extra={"station": station})
            return False
        session = self.sessions[station]
        session.restored = snapshot
        session.work = replace(snapshot.work) if snapshot.work else None
        for stage in self.stages:
            part = getattr(snapshot, stage.name, None)
            if part is not None:
                stage.restore(session, part)
        return True
