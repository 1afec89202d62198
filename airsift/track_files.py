"""A file as a track of a catalogue: its hash, its tags, and its landmarks."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from stream.lines import utf8

if TYPE_CHECKING:
    from pathlib import Path

    from fingerprint.analysis.landmarks import Landmarks

TAGS = ("title", "artist", "album", "isrc", "label")
# Formats name the tag of the label differently; that of ID3 is `organization`.
_LABEL_TAGS = ("label", "organization")


def content_of(path: Path, track: str | None = None) -> str:
    """Return the hash of a file, and of the audio track if one was chosen."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    if track is not None:
        digest.update(f"\0track {track}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def landmarks_of(path: Path, track: str | None = None) -> tuple[Landmarks, list[str]]:
    """Return the landmarks of a file, and a line for each damage.

    Raises
    ------
    AirsiftError
        It cannot be read, has less than 3 s, or is silent.
    """
    from fingerprint.analysis.track_landmarks import analyse
    from stream.sources.file import read_pieces

    warnings: list[str] = []
    pieces = read_pieces(path, warnings=warnings, track=track)
    return analyse(pieces, str(path)), warnings


def tags_of(path: Path) -> dict[str, str]:
    """Return what a file's tags say of `TAGS`, as far as they say it."""
    import mutagen

    try:
        tags = mutagen.File(path, easy=True) or {}
    except (mutagen.MutagenError, OSError):
        return {}  # audio without tags we can read is still audio
    names = {name: name for name in TAGS}
    names["label"] = next((name for name in _LABEL_TAGS if tags.get(name)), "label")
    found = {name: utf8(str(tags[tag][0])).strip() for name, tag in names.items() if tags.get(tag)}
    return {name: value for name, value in found.items() if value}
