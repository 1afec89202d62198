"""MP3 files that are one message: their Xing or LAME header states how many frames follow.

The message must contain that many frames. So the beginning of a long file that a relay sends in
pieces does not count as a whole file.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, cast

import av

from airsift.errors import DecodeError
from stream.decoding.framing import FORMATS, Framer, read_mpeg
from stream.decoding.tags import ape_range, id3_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.codeccontext import AudioCodecContext
    from av.audio.frame import AudioFrame

_DECODER_DELAY = 529  # samples
_DELAY_AT = 21  # in LAME's part of the header: three bytes, encoder delay and padding


class Mp3File(NamedTuple):
    """A whole file.

    Parameters
    ----------
    frames : list of bytes
        Without the one that holds the header.
    is_whole : bool
        Whether their number is the one in the header.
    skip, end : int
        The decoded samples that are audio, half-open.
    """

    frames: list[bytes]
    is_whole: bool
    skip: int
    end: int


def read_mp3_file(value: bytes) -> Mp3File | None:
    """Return the file in a message; None for frames of a stream."""
    at = 0
    while tag := id3_bytes(value, at):
        at += tag
    first = read_mpeg(value, at)
    if first is None:
        return None
    is_mpeg1, is_mono = value[at + 1] & 8, value[at + 3] >> 6 == 3
    side = (17 if is_mono else 32) if is_mpeg1 else (9 if is_mono else 17)
    xing = at + 4 + side
    flags = int.from_bytes(value[xing + 4 : xing + 8], "big")
    if value[xing : xing + 4] not in (b"Xing", b"Info") or not flags & 1:
        return None
    stated, stated_bytes = (int.from_bytes(value[i : i + 4], "big") for i in (xing + 8, xing + 12))
    frames: list[bytes] = []
    begin, at = at, at + first.size
    while (header := read_mpeg(value, at)) is not None and at + header.size <= len(value):
        if len(frames) == stated:
            return None  # more follows: a stream, and the beginning of a song in it
        frames.append(value[at : at + header.size])
        at += header.size
    is_whole = len(frames) == stated > 0
    if is_whole and _audio_follows(value, at):
        return None  # joined files are a stream
    if not is_whole and not (flags & 2 and stated_bytes == len(value) - begin):
        return None
    delays_at = xing + 8 + 4 * sum(flags >> bit & 1 for bit in (0, 1, 3)) + 100 * (flags >> 2 & 1)
    delays = int.from_bytes(value[delays_at + _DELAY_AT : delays_at + _DELAY_AT + 3], "big")
    n = stated * first.samples
    end = min(n - (delays & 0xFFF) + _DECODER_DELAY, n)
    return Mp3File(frames, is_whole, (delays >> 12) + _DECODER_DELAY, end)


def _audio_follows(value: bytes, at: int) -> bool:
    """Return whether anything but tags follows a file."""
    while True:
        if tag := id3_bytes(value, at):
            at += tag
        elif ape := ape_range(value[at : at + 32], at):
            at = ape[1]
        else:
            break
    with suppress(DecodeError):
        return any(frame.data for frame in Framer(FORMATS["mp3float"]).frames(value[at:]))
    return False


def decode_frames(frames: list[bytes]) -> Iterator[AudioFrame]:
    """Yield the decoded frames of a file one by one."""
    context = cast("AudioCodecContext", av.CodecContext.create("mp3float", "r"))
    context.thread_count = 1
    for frame in frames:
        yield from context.decode(av.Packet(frame))
