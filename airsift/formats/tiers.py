"""What is known of a recording as tiers, for the formats that have several of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airsift.formats.intervals import Interval, in_layers, in_ticks
from airsift.formats.words import label_and_voice, label_of, song_of
from stream.lines import one_line

if TYPE_CHECKING:
    from airsift.api.results import Match, Segment, Segments

LABEL = "label"
VOICE = "voice"
OWN_LABEL = "own label"
MUSIC = "music"


@dataclass(frozen=True, slots=True)
class Mark:
    """What stands in an interval of a tier.

    Parameters
    ----------
    text : str
        One line, without control codes.
    confidence : float, optional
        Probability, in [0, 1], of what the text says. Songs have none, because the matcher's scores
        are no probabilities.
    of : Segment or Match
        What it is about.
    """

    text: str
    confidence: float | None
    of: Segment | Match

    @property
    def start_s(self) -> float:
        """Seconds from the recording's begin."""
        return self.of.start_s

    @property
    def end_s(self) -> float:
        """Seconds from the recording's begin."""
        return self.of.end_s


@dataclass(frozen=True, slots=True)
class Tier:
    """Intervals of one kind, ordered by their begin."""

    name: str
    intervals: list[Interval[Mark]]

    def layers(self) -> list[tuple[str, list[Interval[Mark]]]]:
        """Return it as tiers without overlap: ``music``, ``music 2`` and so on; at least one."""
        return [
            (f"{self.name} {number}" if number > 1 else self.name, layer)
            for number, layer in enumerate(in_layers(self.intervals) or [[]], 1)
        ]


def tiers_of(segments: Segments, per_s: int, *, voices_apart: bool = True) -> list[Tier]:
    """Return the tier ``label``, and ``voice``, ``own label`` and ``music`` if there are any.

    Parameters
    ----------
    segments : Segments
        A recording.
    per_s : int > 0
        Ticks in a second.
    voices_apart : bool
        Whether voices have a tier; they stand behind the labels otherwise: ``speech (female)``.
    """
    label_text = label_of if voices_apart else label_and_voice
    voices = [each for each in segments if each.voice and voices_apart]
    marks = {
        LABEL: [Mark(label_text(each), each.score, each) for each in segments],
        VOICE: [Mark(one_line(each.voice or ""), each.voice_score, each) for each in voices],
        OWN_LABEL: [Mark(label_of(each), each.score, each) for each in segments.labels],
        MUSIC: [Mark(song_of(each), None, each) for each in segments.matches],
    }
    tiers = [
        Tier(name, in_ticks(found, per_s, segments.duration_s)) for name, found in marks.items()
    ]
    return [tier for tier in tiers if tier.intervals or tier.name == LABEL]
