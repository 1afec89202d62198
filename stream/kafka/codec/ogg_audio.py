"""Decode Opus, Vorbis and FLAC in Ogg without FFmpeg's container.

A message is a small Ogg file of half a second or so, and opening a container for it costs as much
as decoding it. One decoder serves all Opus messages with the same header.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import av
import numpy as np

from stream.kafka.codec.ogg import read_ogg
from stream.kafka.codec.samples import Decoded, collect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.codeccontext import AudioCodecContext
    from av.audio.frame import AudioFrame

    from stream.kafka.settings import WireSettings

_MAX_DECODERS = 8
_MAX_STREAMS = 64  # in one message; each has a decoder to itself
_NO_COMMENTS = b"\x03vorbis" + bytes(8) + b"\1"
_STREAMINFO_AT, _STREAMINFO_BYTES = 17, 34  # in the first packet of FLAC in Ogg


class OpusDecoders:
    """A cache of Opus decoders by their header."""

    def __init__(self) -> None:
        self._decoders: dict[bytes, AudioCodecContext] = {}

    def take(self, header: bytes) -> AudioCodecContext:
        """Return a decoder in its initial state."""
        decoder = self._decoders.pop(header, None)
        if decoder is not None:
            decoder.flush_buffers()
            return decoder
        # FFmpeg would skip the first samples once, and not after a flush.
        return _decoder("opus", header[:10] + bytes(2) + header[12:])

    def put(self, header: bytes, decoder: AudioCodecContext) -> None:
        """Store a decoder for reuse, unless it has failed."""
        self._decoders[header] = decoder
        if len(self._decoders) > _MAX_DECODERS:
            del self._decoders[next(iter(self._decoders))]


@dataclass(slots=True)
class _Stream:
    """One stream of a file: its decoder, and the bounds of its audio."""

    header: bytes
    decoder: AudioCodecContext | None = None
    decoded: int = 0  # samples
    shift: int | None = None  # from decoded samples to granule positions
    granule: int | None = None  # of the last page
    pages: int = 0

    def mark(self, granule: int) -> None:
        """Note the granule position of a page."""
        if self.decoder is None or granule < 0:
            return
        if self.shift is None:
            self.shift = granule - self.decoded
        self.pages += 1
        self.granule = granule

    def audio(self) -> slice:
        """Return which samples are audio."""
        skip, end = 0, self.decoded
        if self.header.startswith(b"OpusHead"):
            skip = int.from_bytes(self.header[10:12], "little")
        if self.shift is not None and self.granule is not None and not self.is_flac:
            # Surplus samples are cut at the end of a single page, else at the beginning.
            shift = max(self.shift, 0) if self.pages == 1 else self.shift
            skip = max(skip, -shift)
            end = min(end, max(self.granule - shift, 0))
        return slice(skip, max(end, skip))

    @property
    def is_flac(self) -> bool:
        """Whether each packet knows its length."""
        return self.header.startswith(b"\x7fFLAC")


def decode_ogg(value: bytes, decoders: OpusDecoders, limits: WireSettings) -> Decoded:
    """Decode an Ogg file of one stream or of several that follow one another.

    Raises
    ------
    DecodeError
        It is beyond the limits.
    ValueError, FFmpegError
        It is no such file, or is damaged.
    """
    streams: list[_Stream] = []
    decoded = collect(_frames(value, decoders, streams), limits)
    if len(streams) == 1:
        return decoded._replace(samples=decoded.samples[streams[0].audio()])
    parts, at = [], 0
    for stream in streams:
        parts.append(decoded.samples[at : at + stream.decoded][stream.audio()])
        at += stream.decoded
    samples = np.concatenate(parts) if parts else decoded.samples
    return decoded._replace(samples=samples)


def _frames(value: bytes, decoders: OpusDecoders, streams: list[_Stream]) -> Iterator[AudioFrame]:
    """Yield the frames of all streams; append each stream to `streams`."""
    stream = None
    for packet in read_ogg(value):
        if packet.is_first:
            _give_back(stream, decoders)
            if len(streams) == _MAX_STREAMS:
                raise ValueError(f"more than {_MAX_STREAMS} streams are in it")
            stream = _Stream(packet.data)
            streams.append(stream)
        elif stream is None:
            raise ValueError("it begins within a stream")
        elif stream.decoder is None:
            stream.decoder = _opened(stream, packet.data, decoders)
            if not stream.is_flac or stream.decoder is None:
                continue
        if stream.decoder is not None:
            for frame in stream.decoder.decode(av.Packet(packet.data)):
                stream.decoded += frame.samples
                yield frame
        if packet.granule is not None:
            stream.mark(packet.granule)
    _give_back(stream, decoders)


def _opened(stream: _Stream, packet: bytes, decoders: OpusDecoders) -> AudioCodecContext | None:
    """Return a stream's decoder, if `packet` is the last one that is needed for it."""
    head = stream.header
    if head.startswith(b"OpusHead"):
        return decoders.take(head)
    if stream.is_flac:
        if packet[0] != 0xFF:  # comments, pictures
            return None
        return _decoder("flac", head[_STREAMINFO_AT : _STREAMINFO_AT + _STREAMINFO_BYTES])
    if packet.startswith(b"\x05vorbis"):
        lengths = bytes((2, len(head), len(_NO_COMMENTS)))
        return _decoder("vorbis", lengths + head + _NO_COMMENTS + packet)
    return None


def _give_back(stream: _Stream | None, decoders: OpusDecoders) -> None:
    if stream is not None and stream.decoder is not None and stream.header[:8] == b"OpusHead":
        decoders.put(stream.header, stream.decoder)


def _decoder(name: str, extradata: bytes) -> AudioCodecContext:
    decoder = cast("AudioCodecContext", av.CodecContext.create(name, "r"))
    decoder.extradata = extradata
    decoder.thread_count = 1
    return decoder
