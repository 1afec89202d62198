"""The landmarks of a station's music, and the audio that the next ones need.

Landmarks are small (100 a second, 14 bytes each) and depend on the audio within 1.2 s only, so
every piece of audio is analysed once, and the landmarks found piece by piece are those of the
whole::

    audio                     ├── EDGE ──┼── new ──┼── EDGE ──┤
    landmarks  ├──────────────────────────┼─────────┤
                                    landmarks.end   to
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fingerprint.analysis.landmarks import Landmarks
from fingerprint.analysis.live_spectrum import LiveSpectrum
from fingerprint.matching.base import LiveMatcher, Matcher
from fingerprint.settings import EDGE, HOP, SAMPLE_RATE
from stream.audio import AudioChunk

_KEPT = 60 * SAMPLE_RATE  # of shared landmarks: a block of `repeats`, and a long chunk behind it

# Finds the landmarks of a piece of audio, from its first sample and the spectrum up to it.
Extract: TypeAlias = Callable[[NDArray[np.float32], int, LiveSpectrum], Landmarks]


def extract_of(matcher: Matcher) -> Extract:
    """Return how a matcher extracts; one from outside may do so from the whole piece alone."""
    if isinstance(matcher, LiveMatcher):
        return matcher.extract_next
    return lambda samples, start, _: matcher.extract(samples).shift(start)


@dataclass(slots=True)
class SharedLandmarks:
    """The latest landmarks of a station, for the stage that needs them second.

    They are no state: what is missing is extracted again, and is the same.

    Parameters
    ----------
    begun : int
        Where the audio began that they are of. After a break there are others.
    landmarks : Landmarks
        Extracted with `EDGE` around them, as far as the audio goes.
    """

    begun: int
    landmarks: Landmarks = field(default_factory=Landmarks.none)

    def from_(self, start: int, to: int) -> Landmarks:
        """Return those from a sample on, up to another or as far as they go."""
        if not self.landmarks.start <= start < self.landmarks.end:
            return Landmarks.none(start)
        return self.landmarks.between(start, to)

    def add(self, new: Landmarks) -> None:
        """Add landmarks that follow the others, or are later."""
        here = self.landmarks
        if new.start == here.end:
            new = Landmarks.join([here, new])
        elif new.end <= here.end:
            return
        self.landmarks = new.between(new.end - _KEPT, new.end)


@dataclass(slots=True)
class LandmarkBuffer:
    """The landmarks of one station.

    Parameters
    ----------
    audio_from : int
        Audio before this sample is not used any more, whether it is still there or not.
    landmarks : Landmarks
        Of the station's music, up to where they are certain.
    audio : deque of AudioChunk
        From about `audio_from` on.
    spectrum : LiveSpectrum
        Columns of it that are known; in no snapshot, they are computed again from the audio.
    """

    audio_from: int = 0
    landmarks: Landmarks = field(default_factory=Landmarks.none)
    audio: deque[AudioChunk] = field(default_factory=deque)
    spectrum: LiveSpectrum = field(default_factory=LiveSpectrum)

    def begin(self, start: int) -> None:
        """Drop all landmarks, and begin anew at a sample."""
        self.landmarks = Landmarks.none(start)

    def extend(
        self,
        extract: Extract,
        to: int,
        end: int,
        shared: SharedLandmarks | None = None,
    ) -> None:
        """Find the landmarks up to a sample.

        Parameters
        ----------
        extract : callable
            See `extract_of`.
        to : int
            They are certain up to here: the audio has come EDGE further, or ends.
        end : int
            No audio from here on is used.
        shared : SharedLandmarks, optional
            What another stage has extracted in the same way, and may use.
        """
        if shared is not None:
            known = shared.from_(self.landmarks.end, to)
            self.landmarks = Landmarks.join([self.landmarks, known])
        start = self.landmarks.end
        if to <= start:
            return
        samples, first = self._samples(max(start - EDGE, self.audio_from), min(to + EDGE, end))
        new = extract(samples, first, self.spectrum).between(start, to)
        self.spectrum.forget_before(to - EDGE)
        self.landmarks = Landmarks.join([self.landmarks, new])
        if shared is not None:
            shared.add(new)

    def drop_landmarks(self, before: int) -> None:
        """Drop the landmarks before a sample."""
        self.landmarks = self.landmarks.between(before, self.landmarks.end)

    def drop_audio(self, before: int) -> None:
        """Drop the audio before a sample."""
        self.audio_from = max(self.audio_from, before)
        while self.audio and self.audio[0].end <= before:
            self.audio.popleft()

    def _samples(self, start: int, end: int) -> tuple[NDArray[np.float32], int]:
        """Return the audio in [start, end) as far as it is there, and its first sample.

        The first sample is on the grid of hops, which all landmarks of a station share.
        """
        chunks = [c for c in self.audio if start < c.end and c.start < end]
        if chunks:
            start = max(start, chunks[0].start)
        start += -start % HOP
        parts = [c.samples[max(start - c.start, 0) : max(end - c.start, 0)] for c in chunks]
        return (np.concatenate(parts) if parts else np.zeros(0, np.float32)), start
