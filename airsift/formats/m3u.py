"""Extended M3U: each segment as an entry that plays a part of the recording, for VLC.

``#EXTINF`` is Winamp's; ``#EXTVLCOPT`` with start-time and stop-time in seconds is VLC's, and other
players pass over it as a comment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airsift.formats.intervals import in_ticks
from airsift.formats.words import audio_path, title_of

if TYPE_CHECKING:
    from airsift.api.results import Segments

_PER_S = 1000


def m3u(segments: Segments) -> bytes:
    """Return a playlist with an entry for each segment: its songs, or its label.

    Raises
    ------
    FormatError
        The file's name cannot stand in a playlist.
    """
    path = audio_path(segments, "a playlist")
    if path.startswith("#"):  # it would be a comment
        path = f"./{path}"
    lines = ["#EXTM3U"]
    for each in in_ticks(segments, _PER_S, segments.duration_s):
        length = round((each.end - each.start) / _PER_S)
        lines += [
            f"#EXTINF:{length},{title_of(segments, each.item)}",
            f"#EXTVLCOPT:start-time={each.start / _PER_S:.3f}",
            f"#EXTVLCOPT:stop-time={each.end / _PER_S:.3f}",
            path,
        ]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
