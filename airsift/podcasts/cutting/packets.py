"""Packets copied as they are: nothing is encoded again.

A packet is kept if its middle lies in what is kept, so a cut is at most half a packet away from
where it was asked for: 13 ms for MP3 at 44.1 kHz, 12 ms for AAC, 10 ms for Opus.

These codecs need what came before to decode what follows. So at the begin of a piece the first
packets do not decode to the same samples: some of MP3, whose frames borrow bits from those before
(three at 128 kb/s); one of AAC, whose windows overlap (the packet before is taken along where the
container can hide it); and Opus comes to the same samples within some tenths of a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from stream.decoding.reader import AudioReader
from stream.decoding.tracks import choose_track

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

    from airsift.podcasts.cutting.spans import Span

# Samples that decoders leave out at the begin of an MP3 file whose header states no delay.
_MP3_DELAY = 529
_OPUS_RATE = 48_000


@dataclass(frozen=True, slots=True)
class Piece:
    """What becomes of a file of packets.

    Parameters
    ----------
    path : Path
        Where it is written.
    spans : list of Span
        What of the recording it has, in order of time.
    """

    path: Path
    spans: list[Span]


def copy_packets(
    source: Path,
    pieces: list[Piece],
    container: str,
    track: str | None,
    on_time: Callable[[float], object],
) -> None:
    """Write the packets of stretches of a recording into files.

    Parameters
    ----------
    source : Path
        The recording.
    pieces : list of Piece
        In order of time, without overlap.
    container : str
        FFmpeg's name of the format that is written.
    track : str, optional
        Number, language or title of the audio track; by default the container's default.
    on_time : callable
        Is called with the position of the reading, in seconds; it may raise.
    """
    import av

    begin_s = _begin_s(source, track)
    with av.open(str(source)) as given:
        stream = choose_track(given, str(source), track)
        first_pts = _first_pts(source, stream.index)
        base = stream.time_base
        assert base is not None
        lead = _lead_s(stream) if container in ("mp3", "ogg") else 0.0
        writer: _Writer | None = None
        waiting = iter(_wanted(pieces, lead))
        wanted = next(waiting, None)
        before: Packet[AudioStream] | None = None
        try:
            for packet in given.demux(stream):
                if packet.pts is None or not packet.size or wanted is None:
                    continue
                start_s = float((packet.pts - first_pts) * base) + begin_s
                middle_s = start_s + float((packet.duration or 0) * base) / 2
                on_time(max(start_s, 0.0))
                while wanted is not None and middle_s >= wanted.span[1]:
                    wanted = next(waiting, None)
                if wanted is None:
                    break
                copied = _copy(packet) if container == "mp4" else None
                if middle_s >= wanted.span[0]:
                    if writer is None or writer.path != wanted.path:
                        if writer is not None:
                            writer.close()
                        writer = _Writer(wanted.path, container, given, stream)
                        if before is not None:
                            writer.lead_in(before)
                    writer.write(packet)
                before = copied
        finally:
            if writer is not None:
                writer.close()


@dataclass(frozen=True, slots=True)
class _Wanted:
    path: Path
    span: Span


def _wanted(pieces: list[Piece], lead_s: float) -> Iterator[_Wanted]:
    """Yield the stretches; a player leaves out `lead_s` of the first one of each file."""
    for piece in pieces:
        for number, (start, end) in enumerate(piece.spans):
            yield _Wanted(piece.path, (start if number else start - lead_s, end))


class _Writer:
    """One file of packets, whose times begin at 0."""

    def __init__(
        self, path: Path, container: str, given: InputContainer, stream: AudioStream
    ) -> None:
        import av

        self.path = path
        self._made = av.open(str(path), "w", format=container)
        self._made.metadata.update(tags_of(given, stream))
        self._stream = self._made.add_stream_from_template(stream)
        self._next = 0

    def lead_in(self, packet: Packet[AudioStream]) -> None:
        """Write a packet that players decode and do not play: its time is before 0."""
        self._next = -(packet.duration or 0)
        self.write(packet)

    def write(self, packet: Packet[AudioStream]) -> None:
        packet.pts = packet.dts = self._next
        self._next += packet.duration or 0
        packet.stream = self._stream
        self._made.mux(packet)

    def close(self) -> None:
        self._made.close()


def tags_of(given: InputContainer, stream: AudioStream) -> dict[str, str]:
    """Return the tags of a recording, but those that are about its own file."""
    own = ("encoder", "major_brand", "minor_version", "compatible_brands", "creation_time")
    tags = {**stream.metadata, **given.metadata}
    return {
        key: value
        for key, value in tags.items()
        if key.lower() not in own and not key.lower().startswith(("chapter", "handler", "vendor"))
    }


def _copy(packet: Packet[AudioStream]) -> Packet[AudioStream]:
    import av

    copied = cast("Packet[AudioStream]", av.Packet(bytes(packet)))
    copied.duration, copied.time_base = packet.duration, packet.time_base
    return copied


def _begin_s(source: Path, track: str | None) -> float:
    """Return where the first sample lies, as the segments count."""
    reader = AudioReader(source, track=track)
    try:
        for start, _, _ in reader:
            return start / reader.rate
        return 0.0
    finally:
        reader.close()


def _first_pts(source: Path, index: int) -> int:
    """Return the timestamp of the first decoded sample."""
    import av

    with av.open(str(source)) as container:
        for frame in container.decode(container.streams[index]):
            return frame.pts or 0
    return 0


def _lead_s(stream: AudioStream) -> float:
    """Return how much of a file's begin players leave out."""
    context = stream.codec_context
    if context.name in ("mp3", "mp3float"):
        return _MP3_DELAY / context.sample_rate
    head = context.extradata or b""
    if head.startswith(b"OpusHead") and len(head) >= 12:
        return int.from_bytes(head[10:12], "little") / _OPUS_RATE
    return 0.0
