"""What is remembered of a station's music: its landmarks, and the audio the next ones need.

Landmarks are small (100 a second, 14 bytes each) and depend on the audio within 1.2 s only, so
every piece of audio is looked at once, and what is found piece by piece is what would be found
in the whole::

    audio                     ├── EDGE ──┼── new ──┼── EDGE ──┤
    landmarks  ├──────────────────────────┼─────────┤
                                    landmarks.end   to
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.analysis.landmarks import Landmarks
from fingerprint.settings import EDGE, HOP
from stream.audio import AudioChunk


@dataclass(slots=True)
class Evidence:
    """The landmarks of one station.

    Parameters
    ----------
    kept : int
        Audio before this sample is not used any more, whether it is still there or not.
    landmarks : Landmarks
        Of the station's music, up to where they are certain.
    audio : deque of AudioChunk
        From about `kept` on.
    """

    kept: int = 0
    landmarks: Landmarks = field(default_factory=Landmarks.none)
    audio: deque[AudioChunk] = field(default_factory=deque)

    def begin(self, start: int) -> None:
        """Forget the music that was, and begin anew at a sample."""
        self.landmarks = Landmarks.none(start)

    def extend(
        self, extract: Callable[[NDArray[np.float32]], Landmarks], to: int, heard: int
    ) -> None:
        """Find the landmarks up to a sample.

        Parameters
        ----------
        extract : callable
            The matcher's.
        to : int
            They are certain up to here: the audio has come EDGE further, or ends.
        heard : int
            No audio from here on is used.
        """
        start = self.landmarks.end
        if to <= start:
            return
        samples, first = self._samples(max(start - EDGE, self.kept), min(to + EDGE, heard))
        new = extract(samples).shift(first).between(start, to)
        self.landmarks = Landmarks.join([self.landmarks, new])

    def drop_landmarks(self, before: int) -> None:
        """Forget the landmarks before a sample."""
        self.landmarks = self.landmarks.between(before, self.landmarks.end)

    def drop_audio(self, before: int) -> None:
        """Forget the audio before a sample."""
        self.kept = max(self.kept, before)
        while self.audio and self.audio[0].end <= before:
            self.audio.popleft()

    def snapshot(self) -> dict[str, Any]:
        """Return what `restore` needs besides the audio, as JSON's types."""
        return {"kept": self.kept, "landmarks": self.landmarks.pack()}

    @classmethod
    def restore(cls, snapshot: Mapping[str, Any]) -> Evidence:
        """Return the evidence of a snapshot, still without audio."""
        return cls(snapshot["kept"], Landmarks.unpack(snapshot["landmarks"]))

    def _samples(self, start: int, end: int) -> tuple[NDArray[np.float32], int]:
        """Return the audio in [start, end) as far as it is there, and its first sample.

        The first sample is on the grid of hops, which all landmarks of a station share.
        """
        heard = [c for c in self.audio if start < c.end and c.start < end]
        if heard:
            start = max(start, heard[0].start)
        start += -start % HOP
        parts = [c.samples[max(start - c.start, 0) : max(end - c.start, 0)] for c in heard]
        return (np.concatenate(parts) if parts else np.zeros(0, np.float32)), start
