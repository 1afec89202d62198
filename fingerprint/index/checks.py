"""Limits of a catalogue's files.

A catalogue may come from others. Everything in it is checked against these limits before use, so
that it opens no file outside its folder and takes no more memory than its size on disk.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, TypeGuard

import numpy as np

from fingerprint.analysis import hashes
from fingerprint.settings import HOP, N_BINS, SAMPLE_RATE
from fingerprint.track import Track, TrackPeaks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from airsift.json_types import Json, JsonObject, JsonScalar

# Places of a segment are 32-bit numbers, which would wrap above this.
MAX_LINE_FRAMES = 2**31 - 2**20
MAX_TRACK_SAMPLES = 7 * 86_400 * SAMPLE_RATE  # a week: longer than any file that is one track
MAX_TEXT = 10_000  # characters of a key, a title or any other text
# Largest value that SQLite may return: the densest peaks of a week are 60 MB.
MAX_VALUE_BYTES = 2**27
# Frames of a block of peaks: the frame inside a block is one byte.
PEAK_BLOCK = 256
_TEXTS = ("key", "title", "artist", "album", "isrc", "label", "content", "recording")
_SEGMENT = re.compile(r"[0-9A-Za-z_-]{1,100}\.seg")
_DTYPES = {
    "tracks": "<u4", "starts": "<i8", "frames": "<i8", "keys": "<u4", "rows": "<u4",
    "postings": "<u4", "peak_rows": "<u4", "peak_frames": "|u1", "peak_bins": "|u1",
}  # fmt: skip

# Of the database. Any file may claim to be a catalogue, so nothing is known of it.
Row: TypeAlias = tuple[Any, ...]


class ArrayEntry(TypedDict):
    """Where an array lies in a segment file, in bytes from its start."""

    dtype: str
    count: int
    offset: int
    crc32: int


class Header(TypedDict):
    """The header of a segment file."""

    settings: Mapping[str, float]
    size: int
    arrays: dict[str, ArrayEntry]


def segment_path(folder: Path, name: object) -> Path:
    """Return the path of a segment that the database names.

    Raises
    ------
    ValueError
        The name is not that of a segment file.
    """
    if not isinstance(name, str) or not _SEGMENT.fullmatch(name):
        raise ValueError(f"{str(name)[:40]!r} is no name of a segment file")
    return folder / name


def to_track(row: Row) -> Track:
    """Return the track in a row of the database.

    Raises
    ------
    ValueError
        With the invalid value.
    """
    _, key, title, artist, album, isrc, label, duration, content, extra, recording = row
    if not isinstance(extra, str):
        raise ValueError(f"extra is {_shown(extra)}, not a JSON object")
    fields = _scalars(parse_object(extra))
    track = Track(key, title, artist, album, isrc, label, duration, content, fields, recording)
    check_track(track)
    return track


def check_track(track: Track) -> None:
    """Refuse a track that cannot be stored, or published with a match.

    Raises
    ------
    ValueError
        With the invalid value.
    """
    for name in _TEXTS:
        text: object = getattr(track, name)
        if not isinstance(text, str) or len(text) > MAX_TEXT:
            raise ValueError(f"{name} is {_shown(text)}, not a text of at most {MAX_TEXT}")
    if not _is_count(track.duration, MAX_TRACK_SAMPLES):
        raise ValueError(
            f"duration is {_shown(track.duration)} samples, at most {MAX_TRACK_SAMPLES}"
        )
    _scalars(track.extra)
    # Fails for numbers that are not finite, and for half a surrogate pair.
    size = len(json.dumps(track.extra, ensure_ascii=False, allow_nan=False).encode())
    if size > MAX_TEXT:
        raise ValueError(f"extra fields have {size} bytes as JSON, at most {MAX_TEXT}")


def _scalars(fields: Mapping[str, Json]) -> dict[str, JsonScalar]:
    """Return fields whose values are no lists or objects."""
    scalars: dict[str, JsonScalar] = {}
    for name, value in fields.items():
        if value is not None and not isinstance(value, str | int | float):
            raise ValueError(
                f"extra field {name[:40]!r} is a {type(value).__name__}, not a text, a number, a "
                "boolean or null"
            )
        scalars[name] = value
    return scalars


def to_peaks(track: int, length: object, peaks: object) -> TrackPeaks:
    """Return the peaks in a row of the database.

    Raises
    ------
    ValueError
        With the invalid value.
    """
    if not isinstance(length, int) or not 0 < length <= MAX_TRACK_SAMPLES // HOP + 1:
        raise ValueError(f"length is {_shown(length)} frames")
    if not isinstance(peaks, bytes) or len(peaks) % 5 or len(peaks) > 5 * length * N_BINS:
        raise ValueError(f"peaks is {_shown(peaks)}, not 5 bytes for each peak")
    count = len(peaks) // 5
    frame = np.frombuffer(peaks, "<u4", count).astype(np.int64)
    bin_ = np.frombuffer(peaks, np.uint8, count, 4 * count).astype(np.int64)
    # A peak at the very end may have been rounded to the frame after it.
    if count and (frame[-1] > length or np.any(np.diff(frame) < 0) or bin_.max() >= N_BINS):
        raise ValueError("peaks are out of order, or lie outside the track")
    return TrackPeaks(track, length, frame, bin_)


def parse_object(text: object) -> JsonObject:
    """Return a JSON object.

    Raises
    ------
    ValueError
        The text is no JSON object, or nested too deeply.
    """
    try:
        found = json.loads(text) if isinstance(text, str | bytes) else None
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError(f"{_shown(text)} is no JSON object")
    return found


def check_layout(about: object, size: int) -> None:
    """Refuse a segment's header whose arrays do not lie in its file.

    Parameters
    ----------
    about : object
        A mapping of ``dtype``, ``count``, ``offset`` and ``crc32`` of each array.
    size : int
        Bytes of the file.

    Raises
    ------
    ValueError
        With the array and its invalid value.
    """
    if not isinstance(about, dict):
        raise ValueError("it names no arrays")
    for name, dtype in _DTYPES.items():
        array = about.get(name)
        if not isinstance(array, dict) or array.get("dtype") != dtype:
            raise ValueError(f"array {name} is missing or not of dtype {dtype}")
        count = array.get("count")
        offset = array.get("offset")
        if not (_is_count(count, size) and _is_count(offset, size)):
            raise ValueError(f"array {name} has count={_shown(count)}, offset={_shown(offset)}")
        if offset + count * np.dtype(dtype).itemsize > size:
            raise ValueError(f"array {name} ends beyond the file")
        if not _is_count(array.get("crc32"), 2**32 - 1):
            raise ValueError(f"array {name} has no checksum")


def check_arrays(arrays: Mapping[str, NDArray[np.integer]]) -> None:
    """Refuse a segment whose arrays do not fit together: a look-up would read outside them.

    The postings and peaks are not read: damage there only costs votes.

    Raises
    ------
    ValueError
        With the reason.
    """
    starts, frames = arrays["starts"], arrays["frames"]
    if not len(arrays["tracks"]) == len(starts) == len(frames):
        raise ValueError("tracks, starts and frames differ in length")
    longest = MAX_TRACK_SAMPLES // HOP + 1
    if len(starts):
        inside = np.all((starts >= 0) & (starts <= MAX_LINE_FRAMES))
        if not (inside and np.all((frames > 0) & (frames <= longest))):
            raise ValueError("a track lies outside the line of frames")
        ends = starts + frames
        if ends[-1] > MAX_LINE_FRAMES or np.any(starts[1:] < ends[:-1]):
            raise ValueError("tracks overlap, or reach beyond the line of frames")
    elif len(arrays["postings"]):
        raise ValueError("postings belong to no track")
    keys, rows = arrays["keys"], arrays["rows"]
    every = not len(keys) and len(rows) == hashes.KEYS + 1  # a row for each possible key
    if not every and (len(rows) != len(keys) + 1 or np.any(keys[1:] <= keys[:-1])):
        raise ValueError("keys are out of order, or not one row each")
    if np.any(keys[-1:] >= hashes.KEYS):
        raise ValueError(f"key {keys[-1]} is none, they end at {hashes.KEYS - 1}")
    _check_rows("rows", rows, len(arrays["postings"]))
    line = int(starts[-1] + frames[-1]) if len(starts) else 0
    peak_rows = arrays["peak_rows"]
    if not len(peak_rows) or (len(peak_rows) - 1) * PEAK_BLOCK < line:
        raise ValueError("peak_rows end before the line of frames")
    if len(arrays["peak_frames"]) != len(arrays["peak_bins"]):
        raise ValueError("peak_frames and peak_bins differ in length")
    _check_rows("peak_rows", peak_rows, len(arrays["peak_frames"]))


def _check_rows(name: str, rows: NDArray[np.integer], total: int) -> None:
    if rows[0] != 0 or np.any(rows[1:] < rows[:-1]) or rows[-1] != total:
        raise ValueError(f"{name} do not run from 0 to {total}")


def _is_count(value: object, maximum: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= maximum


def _shown(value: object) -> str:
    if isinstance(value, str | bytes):
        return f"{type(value).__name__} of length {len(value)}"
    return repr(value)[:40]
