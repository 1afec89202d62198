"""CUE sheets: each segment as a track, which ends where the next one begins.

CDRWIN's user guide, appendix A: 75 frames a second, 99 tracks at most, no escapes in quotes.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from airsift.formats.intervals import in_ticks, without_overlap
from airsift.formats.words import (
    FormatError,
    audio_path,
    label_and_voice,
    matches_in,
    name_of,
    title_of,
)
from stream.lines import one_line

if TYPE_CHECKING:
    from airsift.api.results import Match, Segment, Segments

FRAMES_PER_S = 75
MAX_TRACKS = 99
NO_AUDIO = "no audio"
_KINDS = {".mp3": "MP3", ".mp2": "MP3", ".aif": "AIFF", ".aiff": "AIFF"}  # all else is called WAVE


def cue(segments: Segments) -> bytes:
    """Return a sheet with a track for each segment, and one for each stretch without audio.

    A track has the title and the performer of its song, where one song plays in it alone; of
    several, their names. Quotation marks become apostrophes.

    Raises
    ------
    FormatError
        There are too many segments, or the file's name cannot stand in a sheet.
    """
    path = audio_path(segments, "a CUE sheet", forbidden='"')
    tracks = _tracks(segments)
    if len(tracks) > MAX_TRACKS:
        raise FormatError(
            f"{name_of(segments)}: has {len(tracks)} segments, and a CUE sheet at most "
            f"{MAX_TRACKS} tracks; choose --format m3u, or make segments longer with --set "
            "smoothing.min_segment_s=10"
        )
    kind = _KINDS.get(PurePath(path).suffix.lower(), "WAVE")
    lines = [f'FILE "{path}" {kind}']
    for number, (start, segment) in enumerate(tracks, 1):
        lines.append(f"  TRACK {number:02} AUDIO")
        lines += _names(segments, segment)
        seconds, frame = divmod(start, FRAMES_PER_S)
        lines.append(f"    INDEX 01 {seconds // 60:02}:{seconds % 60:02}:{frame:02}")
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")


def _tracks(segments: Segments) -> list[tuple[int, Segment | None]]:
    """Return the begin of each track in frames, and its segment; None without audio."""
    tracks: list[tuple[int, Segment | None]] = []
    end = 0
    for each in without_overlap(in_ticks(segments, FRAMES_PER_S, segments.duration_s)):
        if each.start > end:
            tracks.append((end, None))
        tracks.append((each.start, each.item))
        end = each.end
    if end < round(segments.duration_s * FRAMES_PER_S):
        tracks.append((end, None))
    return tracks


def _names(segments: Segments, segment: Segment | None) -> list[str]:
    if segment is None:
        return [f'    TITLE "{NO_AUDIO}"']
    songs = _songs(segments, segment)
    if len(songs) != 1 or not songs[0].title:
        return [f'    TITLE "{_quoted(title_of(segments, segment))}"']
    song = songs[0]
    lines = [f'    TITLE "{_quoted(song.title or label_and_voice(segment))}"']
    if song.artist:
        lines.append(f'    PERFORMER "{_quoted(song.artist)}"')
    if song.isrc and song.isrc.isascii() and song.isrc.isalnum() and len(song.isrc) == 12:
        lines.append(f"    ISRC {song.isrc.upper()}")
    return lines


def _songs(segments: Segments, segment: Segment) -> list[Match]:
    return list({match.track: match for match in matches_in(segments, segment)}.values())


def _quoted(text: str) -> str:
    return one_line(text).replace('"', "'")
