"""FLAC, Ogg, MP3 and WAV in memory: messages that are small files of their own.

Sample counts are exact: a FLAC, Ogg Opus or WAV message, or an MP3 message with a LAME header,
decodes to as many samples as were encoded. Work and memory are proportional to a message's size,
and bounded by `kafka.wire.max_s` of audio.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import av
import av.error

from stream.kafka.codec.containers import bare_flac, bare_wav
from stream.kafka.codec.mp3_file import decode_frames
from stream.kafka.codec.ogg_audio import OpusDecoders, decode_ogg
from stream.kafka.codec.samples import Decoded, check_shape, collect, not_audio

if TYPE_CHECKING:
    from stream.kafka.codec.mp3_file import Mp3File
    from stream.kafka.settings import WireSettings

# Permitted decoders: the rest of FFmpeg, such as pictures and films, is out of reach.
_DECODERS = {
    "flac": "flac",
    "wav": "pcm_u8,pcm_s16le,pcm_s24le,pcm_s32le,pcm_s64le,pcm_f32le,pcm_f64le,pcm_alaw,pcm_mulaw",
}
_BARE = {"flac": bare_flac, "wav": bare_wav}


class FileDecoder:
    """Decodes messages that are small files; none depends on those before it.

    Parameters
    ----------
    limits : WireSettings
        What a message may hold.
    """

    def __init__(self, limits: WireSettings) -> None:
        self._limits = limits
        self._opus = OpusDecoders()

    def decode(self, value: bytes, container: str) -> Decoded:
        """Decode a FLAC, WAV or Ogg file.

        Raises
        ------
        DecodeError
            It is not such a file, is cut short, or is beyond the limits.
        """
        try:
            if container == "ogg":
                decoded = decode_ogg(value, self._opus, self._limits)
            else:
                decoded = self._decode_container(_BARE[container](value), container)
        except (av.error.FFmpegError, ValueError) as error:
            raise not_audio(value, container, error) from error
        return _some(decoded, value, container)

    def decode_mp3(self, value: bytes, file: Mp3File) -> Decoded:
        """Decode an MP3 file that has been read from `value`.

        Raises
        ------
        DecodeError
            It is damaged, or beyond the limits.
        """
        try:
            if not file.is_whole:
                raise ValueError(f"its header does not fit the {len(file.frames)} frames in it")
            decoded = collect(decode_frames(file.frames), self._limits)
        except (av.error.FFmpegError, ValueError) as error:
            raise not_audio(value, "mp3", error) from error
        samples = decoded.samples[file.skip : max(file.end, 0)]
        return _some(decoded._replace(samples=samples), value, "mp3")

    def _decode_container(self, value: bytes, container: str) -> Decoded:
        allowed = {"codec_whitelist": _DECODERS[container]}
        with av.open(io.BytesIO(value), "r", format=container, options=allowed) as opened:
            if not opened.streams.audio:
                raise ValueError("it holds no audio stream")
            stream = opened.streams.audio[0]
            decoder = stream.codec_context.name
            if decoder not in _DECODERS[container].split(","):
                raise ValueError(f"{decoder} is inside")
            if stream.channels and stream.rate:  # else nothing was found, and nothing decodes
                check_shape(stream.channels, stream.rate, self._limits)
            stream.codec_context.thread_count = 1
            return collect(opened.decode(stream), self._limits)


def _some(decoded: Decoded, value: bytes, kind: str) -> Decoded:
    if not len(decoded.samples):
        raise not_audio(value, kind, ValueError("no samples in it"))
    return decoded
