"""Labels, voices and songs as text, and the audio that a file points to."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from airsift.errors import AirsiftError
from stream.lines import one_line
from stream.sinks.format import song

if TYPE_CHECKING:
    from airsift.api.results import Match, Segment, Segments


class FormatError(AirsiftError):
    """A recording cannot be written in a format."""


def name_of(segments: Segments) -> str:
    """Return the recording's name as one line without control codes."""
    return one_line(segments.name) or "audio"


def label_of(segment: Segment) -> str:
    """Return the label as one line without control codes."""
    return one_line(segment.label)


def label_and_voice(segment: Segment) -> str:
    """Return the label, and the voice in brackets where it is known: ``speech (female)``."""
    return (
        f"{label_of(segment)} ({one_line(segment.voice)})" if segment.voice else label_of(segment)
    )


def song_of(match: Match) -> str:
    """Return artist and title; the track's key where the catalogue has no title."""
    return song(match.artist or "", match.title or "", match.track)


def matches_in(segments: Segments, segment: Segment | Match) -> list[Match]:
    """Return the matches that play in a segment, in their order.

    Bounds of songs and of segments differ by some tenths of a second, so one that reaches into a
    segment is not in it: half of the segment, or half of the song, must be common to both.
    """
    found = []
    for match in segments.matches:
        common_s = min(match.end_s, segment.end_s) - max(match.start_s, segment.start_s)
        shorter_s = min(match.end_s - match.start_s, segment.end_s - segment.start_s)
        if common_s > 0 and 2 * common_s >= shorter_s:
            found.append(match)
    return found


def songs_in(segments: Segments, segment: Segment) -> list[str]:
    """Return the names of the songs that play in a segment, in their order, each once."""
    return list(dict.fromkeys(map(song_of, matches_in(segments, segment))))


def title_of(segments: Segments, segment: Segment) -> str:
    """Return the songs of a segment; its label, with the voice, where none is known."""
    return " / ".join(songs_in(segments, segment)) or label_and_voice(segment)


def audio_path(segments: Segments, format_name: str, forbidden: str = "") -> str:
    """Return the recording's name, for a format in which it is a line with the path of the audio.

    Raises
    ------
    FormatError
        It has a character that the format cannot hold.
    """
    for char in segments.name:
        if char in forbidden or not (char.isprintable() or "\udc80" <= char <= "\udcff"):
            raise FormatError(
                f"{name_of(segments)}: the file's name contains {char!r}, which {format_name} "
                "cannot hold; rename it, or choose another --format"
            )
    return segments.name


def stem_of(segments: Segments) -> str:
    """Return the recording's name without folders."""
    return one_line(PurePath(segments.name).name) or "audio"
