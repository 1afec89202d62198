"""The matches of a station that are published and not final yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from stream.events import Match


@dataclass(slots=True)
class OpenMatches:
    """The tracks that play on one station.

    Parameters
    ----------
    matches : list of Match
        None of them final.
    """

    matches: list[Match] = field(default_factory=list)

    def add(self, match: Match, speed: float, tolerance: int) -> list[Match]:
        """Add an answer; return it if it is new, and nothing if it confirms a match.

        Parameters
        ----------
        match : Match
            The answer.
        speed : float
            Seconds of the track in a second of audio.
        tolerance : int >= 0
            Two answers are one playing of a track if their positions in it agree within this.
        """
        for index, known in enumerate(self.matches):
            if known.track != match.track:
                continue
            # In a loop the answer may be any repeat: matches that overlap are one playing.
            expected = known.track_start + round((match.start - known.start) * speed)
            agrees = abs(match.track_start - expected) <= tolerance
            if agrees or match.start < known.end:
                self.matches[index] = replace(
                    known, end=max(match.end, known.end), score=max(match.score, known.score)
                )
                return []
        self.matches.append(match)
        return [match]

    def finish(self, over: Callable[[Match], bool] = lambda _: True) -> list[Match]:
        """Remove the matches that are over, and return them as final."""
        done = [replace(match, final=True) for match in self.matches if over(match)]
        self.matches = [match for match in self.matches if not over(match)]
        return done
