"""What a station repeats, found while it plays: a stage behind `identify`.

Blocks of 20.48 s are due when a decision ends far enough behind them, so that neither the size of
chunks nor a restart changes what is found. The peaks of the last days lie on disk
(`fingerprint.repeats.store`). A snapshot has only the place up to which they count: a restart cuts
the files there and reads the audio from there on again, from 22 s before at most.

A break in the audio ends nothing here: a station that comes back repeats what it played before.
"""

from __future__ import annotations

import logging
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field, Strict

from airsift.files import atomic
from fingerprint.analysis.landmarks import Landmarks
from fingerprint.repeats.alignment import BLOCK, MAX_LENGTH, OpenRun, Run
from fingerprint.repeats.finder import Found, RepeatFinder
from fingerprint.repeats.kinds import guess
from fingerprint.repeats.store import Store, folder_of
from fingerprint.settings import EDGE, HOP, SAMPLE_RATE
from stream.audio import AudioChunk, Discontinuity, EndOfStream
from stream.events import Decision, Label, Repeat, Segment
from stream.ranges import Sample
from stream.session import Session, Sessions, Stage
from stream.stages.landmark_buffer import LandmarkBuffer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stream.session import Item

log = logging.getLogger(__name__)

_BLOCK = BLOCK * HOP  # samples
_LABELS: dict[Label, str] = {"speech": "s", "music": "m", "speech_over_music": "b", "other": "o"}
_NAMES = {code: label for label, code in _LABELS.items()}
_UNKNOWN = " "
_MAX_LABELS_S = 900
# An occurrence is reported up to this long after it ended.
_REPORT_S = 45
_NUMBERS = 9  # of an open run in a snapshot


@dataclass(slots=True)
class SecondLabels:
    """The labels of a station's last quarter of an hour, one character a second.

    Parameters
    ----------
    start : int >= 0
        The second of the first character.
    text : str
        Initials of labels; a space where nothing is known.
    """

    start: Sample = 0
    text: Annotated[str, Strict(), Field(max_length=_MAX_LABELS_S)] = ""

    def add(self, start: int, end: int, label: Label) -> None:
        """Label the seconds that [start, end) touches, in samples; later labels replace earlier."""
        first, last = start // SAMPLE_RATE, -(-end // SAMPLE_RATE)
        first = max(first, last - _MAX_LABELS_S)
        if not self.start <= first <= self.start + len(self.text) + _MAX_LABELS_S:
            self.start, self.text = first, ""
        before = self.text[: first - self.start].ljust(first - self.start, _UNKNOWN)
        after = self.text[last - self.start :]
        text = before + _LABELS[label] * (last - first) + after
        self.start += max(len(text) - _MAX_LABELS_S, 0)
        self.text = text[-_MAX_LABELS_S:]

    def most(self, start: int, end: int) -> str:
        """Return the label of most seconds between two frames; empty where unknown."""
        first, last = start * HOP // SAMPLE_RATE, -(-end * HOP // SAMPLE_RATE)
        text = self.text[max(first - self.start, 0) : max(last - self.start, 0)]
        known = [code for code in _NAMES if code in text]
        return _NAMES[max(known, key=text.count)] if known else ""


@dataclass(slots=True)
class RepeatsState:
    """A station's finder, the audio that it still needs, and its labels."""

    finder: RepeatFinder
    buffer: LandmarkBuffer
    labels: SecondLabels
    begun: int  # first sample of the audio since the last break
    refused: bool = False  # whether the disk refused the last block


@dataclass(frozen=True, slots=True)
class RepeatsPart:
    """The same in a snapshot: the sample up to which peaks are stored, labels, and open runs."""

    done: Sample
    begun: Sample
    labels: SecondLabels
    open: Annotated[
        list[
            Annotated[
                list[Annotated[int, Strict(), Field(ge=-(2**53), le=2**53)]],
                Field(min_length=_NUMBERS, max_length=_NUMBERS),
            ]
        ],
        Field(max_length=1000),
    ]

    def check(self, end: int) -> str:
        """Return why a station whose audio goes on at sample `end` cannot have it, or ""."""
        # Where audio begins, the first frame may lie up to a hop after it.
        if max(self.done - HOP, self.begun) > end or self.done % HOP:
            return "repeats lies after align"
        for lag, start, last, *_ in self.open:
            in_order = 0 <= start <= last <= start + MAX_LENGTH + 2 * BLOCK
            if not (lag > 0 and in_order and last * HOP <= end):
                return "repeats has an open run that cannot be"
        return ""


@dataclass(slots=True)
class RepeatSettings:
    """Where repeats are stored, and how many.

    Parameters
    ----------
    folder : Path
        A folder for each station is made in it.
    days : float > 0
        How far back repeats are looked for.
    clip_s : float >= 0
        Seconds of a repeat that are stored as sound; 0 for none.
    title_of : callable
        Returns the title under which the catalogue knows a cluster; empty if it does not.
    """

    folder: Path
    days: float
    clip_s: float = 0.0
    title_of: Callable[[str], str] = field(default=lambda _: "")


class FindRepeats(Stage):
    """Find what every station repeats.

    Parameters
    ----------
    settings : RepeatSettings
        Where it is stored.
    """

    name = "repeats"

    def __init__(self, settings: RepeatSettings) -> None:
        from fingerprint.analysis.peaks import extract_next  # only who finds repeats needs it

        self.sessions = Sessions()
        self.settings = settings
        self._extract = extract_next

    def push(self, items: Sequence[Item]) -> list[Item | Repeat]:
        """Return `items`, with the repeats that become known behind each; of a break, before it."""
        out: list[Item | Repeat] = []
        for item in items:
            session = self.sessions[item.station]
            if session.repeats is None and isinstance(item, AudioChunk) and len(item.samples):
                session.repeats = self._begin(item.station, item.start)
            state = session.repeats
            match item:
                case AudioChunk() if state is not None:
                    state.buffer.audio.append(item)
                case Segment() if state is not None:
                    state.labels.add(item.start, item.end, item.label)
                case Discontinuity() if state is not None:
                    out += self._flush(state, session, item.start)
                    state.begun = item.end
                    begin = -(-item.end // HOP) * HOP
                    state.buffer = LandmarkBuffer(item.end, Landmarks.none(begin))
                case EndOfStream() if state is not None:
                    out += self._flush(state, session, item.start)
                    out += self._events(
                        state, item.station, self._try(state, item.station, state.finder.finish)
                    )
                    session.repeats = None
            out.append(item)
            if isinstance(item, Decision) and item.final and state is not None:
                out += self._decided(state, session, item.end)
        return out

    def oldest(self, session: Session, sample: int) -> int:
        """Return the first sample that the next block needs."""
        if session.repeats is None:
            return sample
        state = session.repeats
        return min(sample, max(state.begun, state.buffer.landmarks.end - EDGE))

    def snapshot(self, session: Session) -> RepeatsPart | None:
        state = session.repeats
        if state is None:
            return None
        runs = [
            [
                each.run.lag, each.run.start, each.run.end, each.run.score, each.run.hits,
                each.run.peaks, each.score, each.hits, each.peaks,
            ]
            for each in state.finder.open
        ]  # fmt: skip
        labels = SecondLabels(state.labels.start, state.labels.text)
        return RepeatsPart(state.buffer.landmarks.end, state.begun, labels, runs)

    def restore(self, session: Session, part: RepeatsPart) -> None:
        labels = SecondLabels(part.labels.start, part.labels.text)
        runs = [OpenRun(Run(*numbers[:6]), *numbers[6:]) for numbers in part.open]
        finder = self._finder(session.station, part.done, labels, runs)
        buffer = LandmarkBuffer(part.begun, Landmarks.none(part.done))
        session.repeats = RepeatsState(finder, buffer, labels, part.begun)

    def _begin(self, station: str, start: int) -> RepeatsState:
        labels = SecondLabels()
        begin = -(-start // HOP) * HOP
        finder = self._finder(station, begin, labels, None)
        return RepeatsState(finder, LandmarkBuffer(start, Landmarks.none(begin)), labels, start)

    def _finder(
        self, station: str, start: int, labels: SecondLabels, runs: list[OpenRun] | None
    ) -> RepeatFinder:
        store = Store(folder_of(self.settings.folder, station))
        try:
            finder = RepeatFinder(station, store, start, self.settings.days, runs, labels.most)
        except OSError as error:  # what is stored cannot be cut: go on in a folder of its own
            self._warn(station, error)
            store = Store(folder_of(self.settings.folder, f"{station} from {start}"))
            finder = RepeatFinder(station, store, start, self.settings.days, runs, labels.most)
        for problem in store.problems:
            log.warning("%s", problem, extra={"station": station})
        return finder

    def _decided(self, state: RepeatsState, session: Session, end: int) -> list[Repeat]:
        """Process the blocks whose landmarks are certain where a decision ends."""
        out: list[Repeat] = []
        while True:
            begin = state.buffer.landmarks.end
            to = (begin // _BLOCK + 1) * _BLOCK
            if end < to + EDGE:
                return out
            out += self._advance(state, session, to, to + EDGE)

    def _flush(self, state: RepeatsState, session: Session, end: int) -> list[Repeat]:
        """Store the landmarks up to where the audio ends."""
        out: list[Repeat] = []
        while state.buffer.landmarks.end < end // HOP * HOP:
            block = (state.buffer.landmarks.end // _BLOCK + 1) * _BLOCK
            out += self._advance(state, session, min(block, end // HOP * HOP), end)
        return out

    def _advance(self, state: RepeatsState, session: Session, to: int, end: int) -> list[Repeat]:
        buffer, station, shared = state.buffer, session.station, session.landmarks
        if shared is not None and shared.begun != state.begun:
            shared = None  # `identify` is behind a break already
        buffer.extend(self._extract, to, end, shared)
        found = self._try(state, station, lambda: state.finder.add(buffer.landmarks))
        buffer.begin(to)
        out = self._events(state, station, found)
        keep = round(self.settings.clip_s + _REPORT_S) * SAMPLE_RATE if self.settings.clip_s else 0
        audio_from = buffer.audio_from
        buffer.drop_audio(to - max(keep, EDGE))
        buffer.audio_from = audio_from
        return out

    def _try(
        self, state: RepeatsState, station: str, find: Callable[[], list[Found]]
    ) -> list[Found]:
        """Call the finder; a disk that refuses costs repeats, not the station."""
        try:
            found = find()
        except OSError as error:
            if not state.refused:
                self._warn(station, error)
            state.refused = True
            return []
        state.refused = False
        return found

    def _warn(self, station: str, error: OSError) -> None:
        log.warning(
            "%s: repeats cannot be stored (%s); free some space or name another repeats.folder",
            self.settings.folder,
            error.strerror or error,
            extra={"station": station},
        )

    def _events(self, state: RepeatsState, station: str, found: list[Found]) -> list[Repeat]:
        return [self._event(state, station, each) for each in found]

    def _event(self, state: RepeatsState, station: str, found: Found) -> Repeat:
        start, end = found.start * HOP, found.end * HOP
        self._write_clip(state, found.cluster, start, end)
        title = self.settings.title_of(found.cluster)
        return Repeat(
            station,
            start,
            end,
            SAMPLE_RATE,
            None,
            found.cluster,
            found.count,
            found.before * HOP,
            state.labels.most(found.start, found.end),
            guess(found.as_cluster),
            title,
        )

    def _write_clip(self, state: RepeatsState, cluster: str, start: int, end: int) -> None:
        """Store the sound of a cluster for people, once; of a long one its last seconds."""
        path = state.finder.store.clip(cluster)
        length = round(self.settings.clip_s * SAMPLE_RATE)
        if not length or path.exists():
            return
        first = state.buffer.audio[0].start if state.buffer.audio else end
        start = max(start, first, end - length)
        parts = [
            chunk.samples[max(start - chunk.start, 0) : max(end - chunk.start, 0)]
            for chunk in state.buffer.audio
        ]
        if parts and end - start >= SAMPLE_RATE:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_clip(path, np.concatenate(parts))
            except OSError as error:
                log.warning("%s cannot be written (%s)", path, error.strerror or error)


def write_clip(path: Path, samples: NDArray[np.float32]) -> None:
    """Write mono audio at 16 kHz as a WAV file, whole or not at all."""
    with atomic(path) as partial, wave.open(str(partial), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
