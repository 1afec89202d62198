"""All state of one station, and the shape of a stage that works on it.

A stage holds settings, networks and counters. All it remembers of a station is one field of the
station's `Session`. So a station is forgotten by deleting its session, and a snapshot of it is
made from the fields of one object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from stream.audio import AudioChunk, Discontinuity, EndOfStream
    from stream.events import Alarm, Decision, Labelled, Level, Match, Segment, Share
    from stream.snapshot import Snapshot
    from stream.stages.alarms import AlarmsState
    from stream.stages.align import AlignState
    from stream.stages.classify import ClassifyState
    from stream.stages.clock import ClockState
    from stream.stages.features import Columns, ColumnsState
    from stream.stages.identify import IdentifyState
    from stream.stages.labels import LabelsState
    from stream.stages.landmark_buffer import SharedLandmarks
    from stream.stages.levels import LevelsState, SecondLevel
    from stream.stages.mono import MonoState
    from stream.stages.repeats import RepeatsState
    from stream.stages.resample import ResampleState
    from stream.stages.smooth import SmoothState
    from stream.stages.voice import VoiceState
    from stream.stages.work_budget import Accounts

    # What flows between the stages.
    Item: TypeAlias = (
        AudioChunk
        | Columns
        | Level
        | SecondLevel
        | Decision
        | Segment
        | Labelled
        | Match
        | Share
        | Alarm
        | Discontinuity
        | EndOfStream
    )


@dataclass(slots=True)
class Session:
    """One station between its first chunk and the time it is forgotten.

    A field is None until its stage has received something. Where audio breaks off, each stage
    sets its field to None; `align`, `clock`, `levels`, `repeats` and `alarms` go on over it.

    Parameters
    ----------
    station : str
        Its name.
    resume_column : int >= 0
        After `Pipeline.restore`, the first column to compute; 0 otherwise.
    work : Accounts, optional
        What the queries of `identify` may still cost; a break in the audio changes nothing.
    landmarks : SharedLandmarks, optional
        What `identify` and `repeats` both need; in no snapshot.
    restored : Snapshot, optional
        What the station was restored from, until a decision or a break goes beyond it.
    """

    station: str
    align: AlignState | None = None
    clock: ClockState | None = None
    levels: LevelsState | None = None
    mono: MonoState | None = None
    resample: ResampleState | None = None
    columns: ColumnsState | None = None
    classify: ClassifyState | None = None
    voice: VoiceState | None = None
    smooth: SmoothState | None = None
    labels: LabelsState | None = None
    identify: IdentifyState | None = None
    repeats: RepeatsState | None = None
    alarms: AlarmsState | None = None
    work: Accounts | None = None
    landmarks: SharedLandmarks | None = None
    resume_column: int = 0
    restored: Snapshot | None = None


class Sessions(dict[str, Session]):
    """The sessions by station: the only container of the pipeline that is keyed by station."""

    def __missing__(self, station: str) -> Session:
        session = self[station] = Session(station)
        return session


class Stage(Protocol):
    """One stage of the pipeline.

    Items of one station are in order. A stage passes on every item and adds its own behind it; only
    `align`, `mono` and `resample` replace audio, and `voice` decisions. How the items are divided
    into pushes changes nothing: ``push(a) + push(b)`` equals ``push(a + b)`` for every station.

    Attributes
    ----------
    name : str
        Its key in snapshots and metrics.
    sessions : Sessions
        The pipeline's. A stage that is used alone has its own.
    """

    name: str
    sessions: Sessions

    def push(self, items: Sequence[Any]) -> list[Any]:
        """Take the next items of any stations; return what follows from them."""
        ...

    def snapshot(self, session: Session) -> object:
        """Return what `restore` needs to continue; None for a stage that needs only the audio.

        It may be the session's own state: it holds until the station's next item.
        """
        return None

    def restore(self, session: Session, part: Any) -> None:
        """Continue where `part` was the snapshot, and change nothing in it."""
        return

    def oldest(self, session: Session, sample: int) -> int:
        """Return the first sample that must come again for the same output from `sample` on.

        Parameters
        ----------
        session : Session
            The station.
        sample : int >= 0
            The first sample that the later stages need, at the model's rate.

        Returns
        -------
        int <= sample
            At the model's rate.
        """
        return sample
