"""Repeats of recordings: files of any number, one after another on one axis."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.analysis.track_landmarks import LandmarkExtractor
from fingerprint.repeats.alignment import BLOCK
from fingerprint.repeats.finder import RepeatFinder
from fingerprint.repeats.recordings import Recording, next_start, place_of, write_recordings
from fingerprint.settings import HOP, SAMPLE_RATE
from stream.audio import AudioChunk, end_of
from stream.events import Segment
from stream.lines import utf8
from stream.sources.file import read_pieces
from stream.stages.repeats import SecondLabels, write_clip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fingerprint.analysis.landmarks import Landmarks
    from fingerprint.repeats.clusters import Cluster
    from fingerprint.repeats.store import Store
    from stream.events import Event
    from stream.pipeline import Pipeline

_DAYS = 36_500.0  # no recording is too old
_BLOCK = BLOCK * HOP


class RecordingSearch:
    """Searches recordings for what is played several times.

    Parameters
    ----------
    name : str
        Name of all of them together, as a station.
    store : Store
        Its folder.
    pipeline : Pipeline
        Labels the audio.
    recordings : sequence of Recording
        Those that the folder has, which are searched as well without being read again; whatever
        else it has is replaced.

    Attributes
    ----------
    recordings : list of Recording
        Those, and the files that were read.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        pipeline: Pipeline,
        recordings: Sequence[Recording] = (),
    ) -> None:
        self.store = store
        self.recordings = [*recordings]
        self._pipeline = pipeline
        self._paths: dict[str, Path] = {}
        self._labels = SecondLabels()
        start = next_start(self.recordings) * HOP
        self._finder = RepeatFinder(name, store, start, _DAYS, None, self._labels.most)

    def add(
        self,
        path: Path,
        warnings: list[str],
        audio: str = "",
        on_time: Callable[[float], object] = lambda _: None,
    ) -> list[Event]:
        """Search a file; return what the pipeline finds in it, as far as it is final.

        Parameters
        ----------
        path : Path
            Any file that FFmpeg reads.
        warnings : list of str
            Takes one line for each damage.
        audio : str
            Hash of its audio, if it is to be known by that.
        on_time : callable
            Is given the seconds that were read, now and then. If it raises, nothing is added.

        Raises
        ------
        AirsiftError
            It cannot be read.
        """
        station, extractor = str(path), LandmarkExtractor()
        events: list[Event] = []
        try:
            for piece in read_pieces(path, SAMPLE_RATE, warnings=warnings):
                chunk = AudioChunk(station, extractor.length, piece, SAMPLE_RATE)
                events += self._pipeline.push([chunk])
                extractor.push(piece)
                on_time(extractor.length / SAMPLE_RATE)
        finally:
            events += self._pipeline.push([end_of(station, SAMPLE_RATE)])
            self._pipeline.forget(station)
        found = [each for each in events if getattr(each, "final", True)]
        if extractor.length < SAMPLE_RATE:
            return found
        start = next_start(self.recordings)
        landmarks = extractor.finish()
        end = landmarks.end // HOP
        self.recordings.append(Recording(utf8(str(path)), start, start + end, audio))
        self._paths[utf8(str(path))] = path
        segments = [each for each in found if isinstance(each, Segment)]
        self._feed(landmarks.shift(start * HOP), segments, start * HOP)
        return found

    def finish(self, clip_s: float) -> None:
        """Store where each file lies, and a clip of each cluster.

        Parameters
        ----------
        clip_s : float >= 0
            Maximum seconds of a clip; 0 for none.
        """
        write_recordings(self.store.folder, self.recordings)
        if clip_s:
            self._write_clips(round(clip_s * SAMPLE_RATE))

    def clusters(self) -> list[Cluster]:
        """Return what was found."""
        return self._finder.clusters.all()

    def _feed(self, landmarks: Landmarks, segments: list[Segment], offset: int) -> None:
        """Give landmarks to the finder block by block, with the labels that a block needs."""
        waiting = iter(segments)
        segment = next(waiting, None)
        for at in range(landmarks.start, landmarks.end, _BLOCK):
            to = min(at + _BLOCK, landmarks.end // HOP * HOP)
            while segment is not None and segment.start + offset < to:
                self._labels.add(segment.start + offset, segment.end + offset, segment.label)
                segment = next(waiting, None)
            if to > at:
                self._finder.add(landmarks.between(at, to))
        # Nothing goes on from one file into the next, whether they are searched together or not.
        self._finder.finish()

    def _write_clips(self, length: int) -> None:
        """Read each new file once more that has the last occurrence of a cluster."""
        wanted: dict[str, list[tuple[int, int, Path]]] = {}
        for cluster in self.clusters():
            last = cluster.occurrences[-1]
            place = place_of(self.recordings, last.start)
            if place is not None and place.path in self._paths:
                first = max(last.start - place.start, 0) * HOP
                until = min((last.end - place.start) * HOP, first + length)
                path = self.store.clip(cluster.id)
                wanted.setdefault(place.path, []).append((first, until, path))
        for name, clips in wanted.items():
            at = 0
            parts: dict[Path, list[NDArray[np.float32]]] = {path: [] for _, _, path in clips}
            for piece in read_pieces(self._paths[name], SAMPLE_RATE):
                for first, until, path in clips:
                    parts[path].append(piece[max(first - at, 0) : max(until - at, 0)])
                at += len(piece)
            for path, some in parts.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_clip(path, np.concatenate(some))
