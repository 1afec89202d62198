"""Decode a stream of MP3 or ADTS frames so that a restart gives the same samples.

A decoder carries state from frame to frame: MP3's bit reservoir, the overlap of both codecs, SBR's
headers, and FFmpeg's random generator for AAC's noise bands, which cannot be reset. So frames are
counted, and every block of frames has a decoder of its own, which first decodes some of the frames
before the block. The samples of a block are then a function of its bytes and of those frames, and
do not depend on where decoding began.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, cast

import av
import av.error

from airsift.errors import DecodeError
from stream.decoding.framing import FORMATS, Framer
from stream.kafka.codec.samples import Decoded, collect, not_audio

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from av.audio.codeccontext import AudioCodecContext
    from av.audio.frame import AudioFrame

    from stream.decoding.framing import Frame
    from stream.kafka.settings import WireSettings

# Frames in a block, and frames before it that its decoder decodes first. MP3's reservoir contains
# 511 bytes: 24 frames at 8 kbit/s. SBR repeats its header about twice a second.
_BLOCK = {"mp3float": 64, "aac": 128}
_RUN_UP = {"mp3float": 32, "aac": 16}
_RESERVOIR, _MP3_SIDE = 511, 38  # bytes: of the reservoir, and of a frame's part outside of it
_MAX_LAYOUT = 12_000  # characters: of the longest frame
_ID_PCE = 5  # an AAC element that lists the channels


class FrameEntry(NamedTuple):
    """How a decoder begins at a message in mid-stream. The defaults are those of a new stream.

    Parameters
    ----------
    skip : int, optional
        Bytes before the first frame that begins in the message; None to search for it.
    lead : int
        Samples of the frames that end in the message and begin before it. They count for the
        message's position, and are not decoded.
    number : int
        Number of the first frame that begins in the message.
    kind : int, optional
        `stream.decoding.framing.Header.kind` of the stream.
    layout : str
        The last AAC frame that describes the channels, in base64, where the headers do not.
    """

    skip: int | None = None
    lead: int = 0
    number: int = 0
    kind: int | None = None
    layout: str = ""


NEW_STREAM = FrameEntry()


def read_entry(values: Sequence[int | str | None]) -> FrameEntry:
    """Return an entry that was stored as JSON.

    Raises
    ------
    ValueError
        The values are not a valid entry.
    """
    if len(values) != len(FrameEntry._fields):
        raise ValueError(f"entry has {len(values)} values, not {len(FrameEntry._fields)}")
    entry = FrameEntry(*values)  # type: ignore[arg-type]  # checked below
    counts = (entry.skip or 0, entry.lead, entry.number, entry.kind or 0)
    if any(type(count) is not int or not 0 <= count < 2**53 for count in counts):
        raise ValueError(f"entry {counts} is out of range")
    if not isinstance(entry.layout, str) or len(entry.layout) > _MAX_LAYOUT:
        raise ValueError("entry layout is no text of a frame's length")
    b64decode(entry.layout, validate=True)
    return entry


class DecodedFrames(NamedTuple):
    """The frames of a message.

    Parameters
    ----------
    decoded : Decoded
        Samples of the frames that end in the message, without the first `skipped` ones.
    skipped : int
        Samples at the message's beginning that are not decoded, because decoding begins with this
        message.
    entry : Entry, optional
        For a decoder that begins at this message; None if no frame begins in it.
    needs : int
        Number of the first frame that is needed to decode the same samples.
    """

    decoded: Decoded
    skipped: int
    entry: FrameEntry | None
    needs: int

    @property
    def n(self) -> int:
        """Samples of the message, with the skipped ones."""
        return self.skipped + len(self.decoded.samples)


class FrameStream:
    """Decodes one station's MP3 or ADTS frames, however the bytes are cut into messages.

    Parameters
    ----------
    codec : {"mp3float", "aac"}
        FFmpeg's name of the decoder.
    limits : WireSettings
        What a message may hold.
    entry : Entry
        How the first message begins.
    rate : int
        Samples per second so far; 0 for a new stream.

    Attributes
    ----------
    codec : str
        As above.
    """

    def __init__(
        self, codec: str, limits: WireSettings, entry: FrameEntry = NEW_STREAM, rate: int = 0
    ) -> None:
        self.codec = codec
        self._form = FORMATS[codec]
        self._limits = limits
        self._framer = Framer(self._form, entry.skip, entry.kind)
        self._entry: FrameEntry | None = entry  # until the first message has come
        self._next = entry.number  # number of the next frame
        self._block, self._run_up = _BLOCK[codec], _RUN_UP[codec]
        # Frames before this one may fail to decode, because frames that they need are missing.
        needed = -(-(entry.number + self._run_up) // self._block) * self._block
        self._sound = 0 if entry.skip is None else needed
        self._before: deque[bytes] = deque(maxlen=self._run_up)
        self._layout = b64decode(entry.layout)
        self._context: AudioCodecContext | None = None
        self._kind: int | None = None  # of the last frame
        self._rate = rate
        self._samples = entry.lead or self._form.samples  # of the last frame
        self._packets = self._failed = 0  # of the last message

    @property
    def goes_on(self) -> bool:
        """Whether the next message is known to continue this stream."""
        return self._entry is not None and self._entry.skip is not None

    @property
    def slack(self) -> int:
        """Samples of a frame, if the last message ended within one."""
        return self._samples if self._framer.is_partial else 0

    def push(self, value: bytes) -> DecodedFrames:
        """Return the samples of the frames that end in `value`; there may be none.

        Raises
        ------
        DecodeError
            It is no such stream, or exceeds the limits. This stream must not be used again.
        """
        began, self._entry = self._entry, None
        self._packets = self._failed = 0
        self._earlier, self._first = 0, (self._next, self._layout)
        number = self._next
        try:
            decoded = collect(self._decoded(value), self._limits, self._rate)
        except av.error.FFmpegError as error:
            raise not_audio(value, self._form.name, error) from error
        # The first frame after a jump may need a missing one; more failures are damage.
        if self._failed > 1 + self._packets // 2:
            raise DecodeError(
                f"{len(value)} bytes are not a stream of {self._form.name} frames ({self._failed} "
                f"of {self._packets} frames found are damaged); check content-type"
            )
        self._rate = decoded.rate or 48_000
        skipped = began.lead if began else 0
        entry = began
        if entry is None and self._framer.first is not None:
            (skip, kind), (first, layout) = self._framer.first, self._first
            entry = FrameEntry(skip, self._earlier, first, kind, b64encode(layout).decode())
        needs = max(number // self._block * self._block - self._run_up, 0)
        return DecodedFrames(decoded._replace(rate=self._rate), skipped, entry, needs)

    def _decoded(self, value: bytes) -> Iterator[AudioFrame | int]:
        """Yield decoded frames one by one; for a damaged frame, its number of samples."""
        for frame in self._framer.frames(value):
            self._packets += 1
            total = 0
            for item in self._decode(frame):
                yield item
                total += item if isinstance(item, int) else item.samples
            self._samples = total
            if frame.is_earlier:
                self._earlier += total
                self._first = self._next, self._layout

    def _decode(self, frame: Frame) -> Iterator[AudioFrame | int]:
        """Yield one frame's samples: as many as its header states, even if it is damaged."""
        number, self._next = self._next, self._next + 1
        if frame.header.kind != self._kind:  # another song, with another rate
            self._kind, self._context = frame.header.kind, None
            self._before.clear()
        if self._context is None or number % self._block == 0:
            self._context = self._begin_block()
        self._before.append(frame.data)
        samples, rate, total = frame.header.samples, frame.header.rate, 0
        if rate and self._rate % rate == 0:  # SBR doubles
            samples *= max(self._rate // rate, 1)
        if frame.data:
            self._note_layout(frame.data)
            try:
                for decoded in self._context.decode(av.Packet(frame.data)):
                    samples = frame.header.samples * decoded.sample_rate // rate
                    total += decoded.samples
                    yield decoded
            except av.error.FFmpegError:
                self._failed += number >= self._sound
        if total < samples:
            yield samples - total

    def _begin_block(self) -> AudioCodecContext:
        """Return a decoder that has decoded the frames before."""
        context = cast("AudioCodecContext", av.CodecContext.create(self.codec, "r"))
        context.thread_count = 1
        before = list(self._before)
        if self.codec == "mp3float":
            before = before[len(before) - _needed(before) :]
        for data in (self._layout, *before):
            if data:
                with suppress(av.error.FFmpegError):
                    context.decode(av.Packet(data))
        return context

    def _note_layout(self, data: bytes) -> None:
        """Remember an ADTS frame that describes the channels, where its header does not."""
        if self.codec != "aac" or data[2] & 1 or data[3] & 0xC0:
            return
        at = 7 if data[1] & 1 else 9
        if at < len(data) and data[at] >> 5 == _ID_PCE:
            self._layout = data


def _needed(before: list[bytes]) -> int:
    """Return how many of the last MP3 frames the next one needs.

    The overlap reaches two frames back, and the reservoir from there.
    """
    size, n = 0, min(2, len(before))
    for data in reversed(before[:-2]):
        if size >= _RESERVOIR:
            break
        size += max(len(data) - _MP3_SIDE, 0)
        n += 1
    return n
