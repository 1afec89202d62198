"""The sound of events, as files: around an alarm, or of a song.

What is kept is what the network hears: mono, at its rate, in 16 bits::

    FOLDER/1f0c…/dead_air-28736713256210.wav           a folder for each station
    FOLDER/1f0c…/dead_air-28736713256210.json          the event, as it asked for the clip
    FOLDER/1f0c…/song-28736713256210-5e88a1b2.wav

What is there already stays: after a restart an event may come again, later. A thread writes, so a
slow or full disk delays nothing: then clips are dropped.
"""

from __future__ import annotations

import hashlib
import logging
import queue
import threading
import time
import wave
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from airsift.files import atomic
from stream.audio import AudioChunk, Discontinuity, EndOfStream
from stream.sources.base import Lost
from stream.telemetry.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from stream.clips.settings import ClipSettings
    from stream.events import Event
    from stream.session import Item
    from stream.sources.base import SourceItem

log = logging.getLogger(__name__)

MAX_WAITING = 100  # clips that wait for the disk
# An event is known some seconds after what it is about: a decision has a window of 5 s.
_LATE_S = 10
_PRUNE_EVERY_S = 3600.0
_CLOSE_S = 2.0


class ClipKind(Protocol):
    """What is kept, of which events.

    Attributes
    ----------
    name : str
        For people, as ``alarm``.
    """

    name: str

    def span(self, event: Event, length: int) -> tuple[int, int] | None:
        """Return the samples [start, end) of the clip that an event asks for, if it does.

        `length` is how many samples a clip has at most.
        """
        ...

    def path(self, folder: Path, event: Event) -> Path:
        """Return the file of an event's clip."""
        ...


@dataclass(slots=True)
class _Recent:
    """A station's last audio, and the events whose clip is not complete."""

    pieces: deque[tuple[int, NDArray[np.int16]]] = field(default_factory=deque)
    end: int = 0
    is_over: bool = False  # whether it breaks off there
    pending: list[tuple[Event, int, int]] = field(default_factory=list)  # and its clip's samples

    def cut(self, start: int, end: int) -> NDArray[np.int16]:
        """Return the audio in [start, end), as far as it is there."""
        parts = [
            samples[max(start - at, 0) : max(end - at, 0)]
            for at, samples in self.pieces
            if at < end and at + len(samples) > start
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)


class ClipRecorder(Observer):
    """Keeps the audio of events.

    Parameters
    ----------
    kind : ClipKind
        Which, and what of them.
    settings : ClipSettings
        The folder, and how much is kept for how long.
    rate : int > 0
        The model's samples per second.
    may_keep : callable
        Whether audio of a station may be kept.
    wall : callable
        Unix time in seconds.
    """

    def __init__(
        self,
        kind: ClipKind,
        settings: ClipSettings,
        rate: int,
        may_keep: Callable[[str], bool],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._kind = kind
        self._folder, self._keep_days = Path(settings.folder), settings.keep_days
        self._length = round(settings.seconds * rate)
        self._rate, self._may_keep, self._wall = rate, may_keep, wall
        self._recent: dict[str, _Recent] = {}
        self._queue: queue.Queue[tuple[Event, NDArray[np.int16]] | None]
        self._queue = queue.Queue(MAX_WAITING)
        self._problem = ""
        name = f"{kind.name} clips"
        self._thread = threading.Thread(target=self._write_all, name=name, daemon=True)
        self._thread.start()

    def on_step(self, items: Sequence[SourceItem]) -> None:
        """Forget the audio of stations that are lost."""
        for item in items:
            if isinstance(item, Lost):
                self._recent.pop(item.station, None)

    def on_items(self, items: Sequence[Item]) -> None:
        """Remember audio, and cut the clips that are complete with it."""
        for item in items:
            match item:
                case AudioChunk(station) if len(item.samples) and self._may_keep(station):
                    recent = self._recent.setdefault(station, _Recent())
                    self._add(recent, item)
                    self._cut(recent)
                case Discontinuity(station) | EndOfStream(station) if station in self._recent:
                    self._recent[station].is_over = True
                    self._cut(self._recent[station])

    def on_batch(self, items: Sequence[SourceItem], events: Sequence[Event]) -> None:
        """Begin the clips that events ask for."""
        for event in events:
            if (recent := self._recent.get(event.station)) is None:
                continue
            if (span := self._kind.span(event, self._length)) is not None:
                recent.pending.append((event, *span))
                self._cut(recent)

    def close(self) -> None:
        """Write what is complete, if the disk is quick."""
        for recent in self._recent.values():
            recent.is_over = True
            self._cut(recent)
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(_CLOSE_S)

    def _add(self, recent: _Recent, chunk: AudioChunk) -> None:
        samples = np.clip(np.nan_to_num(chunk.samples), -1, 1) * 32_767
        recent.pieces.append((chunk.start, np.round(samples).astype(np.int16)))
        recent.end, recent.is_over = chunk.end, False
        oldest = chunk.end - self._length - _LATE_S * self._rate
        while (first := recent.pieces[0])[0] + len(first[1]) < oldest:
            recent.pieces.popleft()

    def _cut(self, recent: _Recent) -> None:
        """Hand over the clips whose audio is there; all where it breaks off."""
        waiting = []
        for event, start, upto in recent.pending:
            if upto > recent.end and not recent.is_over:
                waiting.append((event, start, upto))
                continue
            samples = recent.cut(start, upto)
            if not len(samples):
                continue
            try:
                self._queue.put_nowait((event, samples))
            except queue.Full:
                self._report(f"the disk is too slow: clips of {self._kind.name}s are dropped")
        recent.pending = waiting

    # The thread

    def _write_all(self) -> None:
        next_prune = time.monotonic()
        while True:
            if time.monotonic() >= next_prune:
                next_prune = time.monotonic() + _PRUNE_EVERY_S
                self._prune()
            try:
                item = self._queue.get(timeout=_PRUNE_EVERY_S)
            except queue.Empty:
                continue
            if item is None:
                return
            try:
                self._write(*item)
                self._problem = ""
            except OSError as error:
                self._report(f"{self._folder}: {error.strerror}; a clip is dropped")

    def _write(self, event: Event, samples: NDArray[np.int16]) -> None:
        path = self._kind.path(self._folder, event)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as partial, wave.open(str(partial), "wb") as out:
            out.setparams((1, 2, self._rate, 0, "NONE", ""))
            out.writeframes(samples.astype("<i2").tobytes())
        with atomic(path.with_suffix(".json")) as partial:
            partial.write_bytes(event.to_bytes() + b"\n")

    def _prune(self) -> None:
        """Remove clips that are too old."""
        if not self._keep_days:
            return
        oldest = self._wall() - self._keep_days * 86_400
        for path in self._folder.glob("*/*-*.*"):
            try:
                if path.suffix in (".wav", ".json") and path.stat().st_mtime < oldest:
                    path.unlink()
            except OSError as error:
                self._report(f"{path}: {error.strerror}; it is not removed")

    def _report(self, problem: str) -> None:
        """Log a problem, once as long as it stays the same."""
        if problem != self._problem:
            log.warning("%s", problem)
        self._problem = problem


def folder_of(folder: Path, station: str) -> Path:
    """Return the folder of a station's clips. Its name, which may be any text, is hashed."""
    return folder / hashlib.sha256(station.encode("utf-8", "replace")).hexdigest()[:16]
