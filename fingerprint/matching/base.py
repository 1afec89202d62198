"""What identifies music: the protocols of matchers. They load nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fingerprint.analysis.landmarks import Landmarks
    from fingerprint.analysis.live_spectrum import LiveSpectrum
    from fingerprint.matching.matcher import TrackMatch
    from fingerprint.matching.work import Work


class Matcher(Protocol):
    """Names the music in audio. An external service can implement these two methods."""

    def extract(self, samples: NDArray[np.float32]) -> Landmarks:
        """Return the landmarks of mono audio at 16 kHz.

        Landmarks further than `EDGE` (`fingerprint.settings`) from both ends must not depend on
        audio beyond the ends: a stream extracts piece by piece, and joins the results.
        """
        ...

    def match(self, landmarks: Landmarks) -> list[TrackMatch]:
        """Return the tracks found, in order of time; none when in doubt."""
        ...


@runtime_checkable
class LiveMatcher(Matcher, Protocol):
    """A matcher that does not analyse the audio again in which two pieces overlap."""

    def extract_next(
        self, samples: NDArray[np.float32], start: int, spectrum: LiveSpectrum
    ) -> Landmarks:
        """Return the landmarks of a piece that begins at sample `start`, on the audio's time axis.

        As :meth:`Matcher.extract`; `spectrum` is kept from one piece of the audio to the next.
        """
        ...


@runtime_checkable
class SharesMatcher(Matcher, Protocol):
    """A matcher that also says what audio shares with a track that does not play.

    Its shares are published as events of their own. A matcher without this method has none.
    """

    def match_with_shares(self, landmarks: Landmarks) -> tuple[list[TrackMatch], list[TrackMatch]]:
        """Return the tracks found, and those of which there is only a loop, in order of time."""
        ...


@runtime_checkable
class CountingMatcher(Matcher, Protocol):
    """A matcher that counts its work, so that the work for a station can be bounded.

    One without this attribute must bound it by itself.
    """

    work: Work
