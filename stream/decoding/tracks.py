"""Choosing one of several audio tracks of a file, and describing the tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from av.stream import Discard, Disposition

from airsift.errors import DecodeError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from av.audio.stream import AudioStream
    from av.container import InputContainer

_MAX_LISTED = 20
_MAX_TITLE = 60  # characters
# Titles that MP4 writers give to a track without a name.
_NO_TITLES = {"soundhandler", "sound media handler", "core media audio", "audiohandler"}
# Two-letter codes that the first two letters of a three-letter code do not identify.
_LANGUAGES = {
    "cs": ("ces", "cze"),
    "da": ("dan",),
    "de": ("deu", "ger"),
    "el": ("ell", "gre"),
    "es": ("spa",),
    "eu": ("eus", "baq"),
    "fr": ("fra", "fre"),
    "ga": ("gle",),
    "hr": ("hrv",),
    "is": ("isl", "ice"),
    "ja": ("jpn",),
    "nl": ("nld", "dut"),
    "pl": ("pol",),
    "pt": ("por",),
    "sk": ("slk", "slo"),
    "sr": ("srp",),
    "sv": ("swe",),
    "tr": ("tur",),
    "uk": ("ukr",),
    "zh": ("zho", "chi"),
}
_ADDED = Disposition.comment | Disposition.visual_impaired | Disposition.hearing_impaired


def choose_track(container: InputContainer, name: str, wanted: str | None = None) -> AudioStream:
    """Return an audio track, and make the demuxer drop all other streams.

    Parameters
    ----------
    container : InputContainer
        Opened for reading.
    name : str
        The name of the file in messages.
    wanted : str, optional
        Number of the track among the audio tracks, from 1, or its language or title. Without it:
        the default track, else the first that is neither a commentary nor a description.

    Raises
    ------
    SourceError
        There is no such track.
    DecodeError
        There is no audio track, or none that FFmpeg can decode.
    """
    tracks = list(container.streams.audio)
    if not tracks:
        kinds = " and ".join(sorted({stream.type for stream in container.streams})) or "no stream"
        raise DecodeError(f"{name}: holds {kinds} but no audio; give a file with sound in it")
    found = tracks if wanted is None else _named(tracks, wanted)
    if not found:
        raise SourceError(
            f"{name}: has no audio track {printable(wanted or '')!r}; --track takes the number, "
            f"the language or the title of one of these: {list_tracks(tracks)}"
        )
    track = min(found, key=lambda track: (not _is_known(track), *_rank(track)))
    if not _is_known(track):
        others = f"; its tracks are {list_tracks(tracks)}" if len(tracks) > 1 else ""
        raise DecodeError(
            f"{name}: its codec is unknown to FFmpeg; convert it to FLAC or MP3{others}"
        )
    for stream in container.streams:
        if stream is not track:
            stream.discard = Discard.all
    return track


def note_of(container: InputContainer, track: AudioStream) -> str:
    """Return a note on the track that is read if there are several, otherwise ""."""
    tracks = container.streams.audio
    if len(tracks) == 1:
        return ""
    number = tracks.index(track) + 1
    return (
        f"audio track {number} of {len(tracks)} is read ({describe(track)}){others_than(container)}"
    )


def others_than(container: InputContainer) -> str:
    """Return how to choose another track if there are several, otherwise ""."""
    tracks = container.streams.audio
    return f"; --track chooses from {list_tracks(tracks)}" if len(tracks) > 1 else ""


def list_tracks(tracks: Sequence[AudioStream]) -> str:
    """Return the audio tracks of a file in one line."""
    listed = [f"{number} ({describe(t)})" for number, t in enumerate(tracks[:_MAX_LISTED], 1)]
    more = len(tracks) - _MAX_LISTED
    return ", ".join(listed) + (f" and {more} more" if more > 0 else "")


def describe(track: AudioStream) -> str:
    """Return the description of a track from its metadata."""
    words = [_language(track), f'"{title}"' if (title := _title(track)) else ""]
    if _is_known(track):
        channels = track.channels
        words += [track.codec_context.name, f"{channels} channel{'s' if channels != 1 else ''}"]
    else:
        words.append("unknown codec")
    words += [flag.name or "" for flag in _FLAGS if track.disposition & flag]
    return " ".join(filter(None, words))


_FLAGS = [Disposition.default, Disposition.dub, Disposition.original, *_ADDED]


def _named(tracks: list[AudioStream], wanted: str) -> list[AudioStream]:
    """Return the tracks with a number, language or title, by the first rule that finds any."""
    if wanted.isascii() and wanted.isdecimal():
        number = int(wanted)
        return tracks[number - 1 : number] if number else []
    wanted = wanted.strip().casefold()
    if not wanted:
        return []
    rules: list[Callable[[AudioStream], bool]] = [
        lambda track: _language(track).casefold() == wanted,
        lambda track: _title(track).casefold() == wanted,
        lambda track: _is_language(track, wanted),
        lambda track: wanted in _title(track).casefold(),
    ]
    for rule in rules:
        if found := [track for track in tracks if rule(track)]:
            return found
    return []


def _is_language(track: AudioStream, code: str) -> bool:
    """Return whether a two-letter or three-letter code is the language of a track."""
    language = _language(track).casefold()
    for two, three in _LANGUAGES.items():
        if code == two or code in three:
            return language == two or language in three
    return len(code) == 2 and language[:2] == code


def _rank(track: AudioStream) -> tuple[bool, bool, int]:
    flags = track.disposition
    return not flags & Disposition.default, bool(flags & _ADDED), track.index


def _is_known(track: AudioStream) -> bool:
    return cast("object", track.codec_context) is not None  # not so in the type stubs


def _language(track: AudioStream) -> str:
    language = printable(track.metadata.get("language", ""))
    return "" if language == "und" else language


def _title(track: AudioStream) -> str:
    title = track.metadata.get("title") or track.metadata.get("handler_name") or ""
    return "" if title.casefold() in _NO_TITLES else printable(title)


def printable(text: str) -> str:
    """Return text from a file in a form that is safe to print on a terminal."""
    text = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return text if len(text) <= _MAX_TITLE else text[: _MAX_TITLE - 1] + "…"
