"""FLAC, Opus, MP3 and WAV in memory: messages that are small files of their own.

Sample counts are exact: what a FLAC, Ogg Opus, WAV or MP3 message with a LAME header decodes to
is as long as what was encoded.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import av
import av.error

from airsift.errors import DecodeError
from stream.kafka.opus import RATE, read_plain
from stream.kafka.samples import Decoded, check_shape, collect, not_audio

if TYPE_CHECKING:
    from stream.kafka.opus import OpusDecoders
    from stream.kafka.settings import WireSettings

# What may be inside: the rest of FFmpeg, pictures and films above all, stays out of reach.
_DECODERS = {
    "flac": "flac",
    "ogg": "opus,vorbis,flac",
    "wav": "pcm_u8,pcm_s16le,pcm_s24le,pcm_s32le,pcm_s64le,pcm_f32le,pcm_f64le,pcm_alaw,pcm_mulaw",
    "mp3": "mp3float",
}


def decode_file(value: bytes, container: str, limits: WireSettings) -> Decoded:
    """Decode a message that is a small file of its own.

    Raises
    ------
    DecodeError
        It is not such a file, is cut short, or is beyond the limits.
    """
    try:
        allowed = {"codec_whitelist": _DECODERS[container]}
        with av.open(io.BytesIO(value), "r", format=container, options=allowed) as opened:
            if not opened.streams.audio:
                raise DecodeError(f"{len(value)} bytes of {container} hold no audio stream")
            stream = opened.streams.audio[0]
            decoder = stream.codec_context.name
            if decoder not in _DECODERS[container].split(","):
                raise not_audio(value, container, ValueError(f"{decoder} is inside"))
            if stream.channels and stream.rate:  # else nothing was found, and nothing decodes
                check_shape(stream.channels, stream.rate, limits)
            stream.codec_context.thread_count = 1
            decoded = collect(opened.decode(stream), limits)
    except (av.error.FFmpegError, ValueError) as error:
        raise not_audio(value, container, error) from error
    if not len(decoded.samples):
        raise not_audio(value, container, ValueError("no samples in it"))
    return decoded


def decode_opus(value: bytes, decoders: OpusDecoders, limits: WireSettings) -> Decoded:
    """Decode a message that is an Ogg file; one that is plain Opus is decoded quickly.

    Raises
    ------
    DecodeError
        As of `decode_file`.
    """
    plain = read_plain(value)
    if plain is None:
        return decode_file(value, "ogg", limits)
    try:
        samples, rate = collect(decoders.frames(plain), limits, RATE)
    except (av.error.FFmpegError, ValueError) as error:
        raise not_audio(value, "opus", error) from error
    samples = samples[plain.skip : max(plain.end, 0)]
    if not len(samples):
        raise not_audio(value, "opus", ValueError("no samples in it"))
    return Decoded(samples, rate)


def is_whole_mp3(value: bytes) -> bool:
    """Say whether these bytes begin as an MP3 file does, with an ID3 tag or a Xing header."""
    head = value[:400]
    return head[:3] == b"ID3" or b"Xing" in head or b"Info" in head
