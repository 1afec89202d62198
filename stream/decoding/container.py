"""One container: opened by PyAV, and decoded to frames with their positions and faults.

Damage does not end the decoding: packets that do not decode are skipped, and after an error of the
demuxer the next packet is requested.
"""

from __future__ import annotations

import errno
from collections import deque
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import av
import av.error

from airsift.errors import DecodeError, SourceError
from stream.decoding.damage import Damage, fault_of, is_last_cut, length_of
from stream.decoding.timestamps import MAX_HOLE_S, TimestampTracker
from stream.decoding.tracks import choose_track, others_than

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

    from stream.decoding.timestamps import Placed

# FFmpeg reads WAV in packets of 4096 samples and looks for DTS in its first 5 MB: larger
# packets and a shorter look read PCM three times as fast, and open it eight times as fast.
_WAV_OPTIONS = {"max_size": "65536", "probesize": "100000"}
# Playlists and reference movies name other files and hosts: a file may not make us call them.
# FLAC frames of 100 kB and more (7.1 at 192 kHz) are only found in larger reads than 1 kB.
_FILE_OPTIONS = {"protocol_whitelist": "file", "raw_packet_size": "65536"}
_URL_OPTIONS = {"protocol_whitelist": "http,https,tls,tcp,crypto,httpproxy"}
EMPTY = "is empty (0 bytes), so it holds no audio; check the file"
_UNKNOWN = (
    "is no audio file, or lacks its beginning or index (FFmpeg finds none it knows); "
    "check the file, or convert it to WAV, FLAC or MP3"
)
MAX_BAD_PACKETS = 2_000  # of a live stream, in a row; about a minute of most codecs
MAX_ERRORS = 100  # of a demuxer, without a packet between them
SHORT_S = 0.25  # encoders round what they state of the length by less

_MOV, _MATROSKA = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"
# Containers that state their length; FFmpeg estimates it from the bit rate for others.
_STATES_LENGTH = {"aiff", "flac", _MATROSKA, _MOV}
# Containers with timestamps; FFmpeg counts those of other containers.
_STAMPED = {_MOV, _MATROSKA, "mpegts", "mpeg", "ogg", "flv", "live_flv", "asf", "nut", "hls"}
_STAMPED |= {"dash", "mxf", "wtv"}
_FROM_ZERO = {_MOV, _MATROSKA}  # the others begin to count anywhere
_WRAPS_S = dict.fromkeys(("mpegts", "mpeg", "hls"), (1 << 33) / 90_000)
_MAX_START_S = 3600.0  # streams that begin further apart count by clocks of their own
_GOES_ON = (av.error.InvalidDataError, av.error.PatchWelcomeError, av.error.ArgumentError)


def open_container(
    source: str | Path | BinaryIO, name: str, options: dict[str, str], timeout_s: float | None
) -> InputContainer:
    """Open a path, URL or file object.

    Parameters
    ----------
    source : path, URL or binary file object
        Only a string with ``://`` in it is a URL.
    name : str
        Its name in messages.
    options : dict
        FFmpeg's options, over the ones chosen here.
    timeout_s : float, optional
        Seconds that opening, or one read, may take.

    Raises
    ------
    SourceError
        It is not there, may not be read, or does not answer.
    DecodeError
        It is empty, or no container that FFmpeg knows.
    """
    if not isinstance(source, str | Path):
        options = _FILE_OPTIONS | options
        target: str | BinaryIO = source
    elif "://" in str(source):
        options = _URL_OPTIONS | options
        target = str(source)
    else:
        path = Path(source)
        options = _FILE_OPTIONS | _options_for(path, name) | options
        # An absolute path keeps FFmpeg from reading "a:b.mp3" as protocol a.
        target = str(path.absolute())
    try:
        container = av.open(
            target, "r", options=options, timeout=timeout_s, metadata_errors="replace"
        )
    except av.error.PatchWelcomeError as error:  # such as extensible RIFX
        raise DecodeError(f"{name}: is of a kind that FFmpeg cannot read; convert it") from error
    except (av.error.InvalidDataError, av.error.DemuxerNotFoundError) as error:
        raise DecodeError(f"{name}: {_UNKNOWN}") from error
    except av.error.FFmpegError as error:
        check = "that it is there"
        if "://" in str(target):
            if error.errno == errno.EIO:  # FFmpeg's word for an answer that ends too soon
                raise DecodeError(
                    f"{name}: its answer ends before any audio; check that it is a stream"
                ) from error
            check = "the address and the network, and the certificate if it is https"
        raise SourceError(
            f"{name}: cannot be opened ({reason_of(error)}); check {check}"
        ) from error
    if container.format.name == "tty":  # text, which FFmpeg would film
        container.close()
        raise DecodeError(f"{name}: {_UNKNOWN}")
    return container


def reason_of(error: av.error.FFmpegError) -> str:
    """Return FFmpeg's words for an error, for use inside a message."""
    if isinstance(error, av.error.ExitError):
        return "no answer in time"
    return error.strerror or type(error).__name__


def _options_for(path: Path, name: str) -> dict[str, str]:
    """Check a file before FFmpeg opens it, whose message would be less precise."""
    try:
        if path.is_dir():
            raise SourceError(f"{name}: is a folder; name the audio files in it")
        if not path.is_file():
            return {}  # a pipe or device, which can be read only once; or nothing at all
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise SourceError(f"{name}: cannot be read ({error.strerror}); check the path") from error
    if not head:
        raise DecodeError(f"{name}: {EMPTY}")
    return _WAV_OPTIONS if head[8:12] == b"WAVE" else {}


class PlacedFrame(NamedTuple):
    """A decoded frame.

    Parameters
    ----------
    frame : AudioFrame
        Without fault.
    jump : int >= 0
        Samples, at the reader's rate, without audio before it.
    damage : str, optional
        The fault of the audio before it, if it was lost to one.
    disbelieved_s : float
        Length of a jump of the timestamps that is not accepted; 0 without one.
    """

    frame: AudioFrame
    jump: int
    damage: str | None
    disbelieved_s: float


class _Decoded(NamedTuple):
    frame: AudioFrame
    stamp_s: float | None
    lost_s: float
    damage: str | None


class ContainerDecoder:
    """The audio of one container.

    Parameters and errors are those of `stream.decoding.reader.AudioReader`.

    Attributes
    ----------
    first : AudioFrame
        The first frame that decodes.
    finite : bool
        Whether the end is known in advance; False for a live stream.
    """

    def __init__(
        self,
        source: str | Path | BinaryIO,
        name: str,
        options: dict[str, str],
        timeout_s: float | None,
        track: str | None = None,
    ) -> None:
        self._undecoded = Damage()  # after the last decoded frame
        self._error: str | None = None
        self._sizes: deque[int] = deque(maxlen=8)  # bytes of the latest packets
        self._guessed_at: int | None = None  # position of packets whose stamps are guesses
        self.container = open_container(source, name, options, timeout_s)
        try:
            self.stream = choose_track(self.container, name, track)
            self.kind = self.container.format.name
            tick = self.stream.time_base
            self._is_stamped = self.kind in _STAMPED and tick is not None
            self._tick = (tick.numerator, tick.denominator) if tick is not None else (0, 1)
            self.duration_s = _duration_s(self.container, self.stream)
            is_known = self.duration_s is not None
            self.finite = is_known if self.kind == "hls" else self.container.size > 0
            is_stream = "://" in str(source) or getattr(source, "live", False)
            self._is_live = not self.finite and is_stream
            self._decoded = self._decode()
            self._first = self._decode_first(name)
        except BaseException:
            self.container.close()
            raise
        self.first = self._first.frame
        self._timestamps: TimestampTracker[_Decoded] | None = None

    def _decode_first(self, name: str) -> _Decoded:
        first = next(self._decoded, None)
        if first is None:
            codec, reason = self.stream.codec_context.name, self._undecoded.reason
            raise DecodeError(
                f"{name}: no packet of its {codec} audio decodes ({self._error or reason}); check "
                f"the file, or convert it{others_than(self.container)}"
            )
        if first.lost_s < 1:  # a recorded broadcast begins in the middle of a packet
            first = first._replace(lost_s=0.0, damage=None)
        return first

    def frames(self, rate: int) -> Iterator[PlacedFrame]:
        """Yield all frames, once, with jumps counted in samples at `rate`."""
        tick_s = self._tick[0] / self._tick[1]
        wrap_s = _WRAPS_S.get(self.kind)
        tracker = TimestampTracker[_Decoded](rate, tick_s, wrap_s)
        self._timestamps = tracker
        if not self._is_stamped:  # a count of samples, without a queue
            for item in chain([self._first], self._decoded):
                jump = round(item.lost_s * rate) if item.damage else 0
                yield PlacedFrame(item.frame, jump, item.damage, 0.0)
            return
        is_first = True
        for placed in self._placed(tracker):
            jump = placed.jump
            if is_first:
                jump += round(self._start_s(tracker) * rate)
                is_first = False
            item = placed.item
            yield PlacedFrame(item.frame, jump, item.damage, placed.disbelieved_s)

    def _placed(self, tracker: TimestampTracker[_Decoded]) -> Iterator[Placed[_Decoded]]:
        for item in chain([self._first], self._decoded):
            seconds = item.frame.samples / item.frame.sample_rate
            yield from tracker.push(item, seconds, item.stamp_s, item.lost_s)
        yield from tracker.flush()

    def why_short(self, end_s: float) -> str | None:
        """Return why the audio ends too early, None if it is complete.

        Parameters
        ----------
        end_s : float
            Length of the decoded audio.
        """
        tracker = self._timestamps
        if self._is_stamped and tracker is not None and tracker.start_s is not None:
            end_s = tracker.end_s
        if self._error is not None:
            return self._error
        stated_s = self._stated_s()
        if stated_s and stated_s - end_s > SHORT_S:
            return f"its header promises {stated_s:.2f} s"
        if self._undecoded.seconds > SHORT_S:
            return self._undecoded.reason
        if self.kind == "mp3" and is_last_cut(self._sizes):
            return "its last packet is cut short"
        return None

    def close(self) -> None:
        """Close the file or connection. Not while another thread is iterating."""
        self.container.close()

    def _packets(self) -> Iterator[Packet[AudioStream] | None]:
        errors = 0
        while errors < MAX_ERRORS:
            try:
                for packet in self.container.demux(self.stream):
                    if not packet.size:  # to a decoder, an empty packet is the end
                        continue
                    if self._error is not None:
                        self._undecoded.add(Fraction(0), f"unreadable: {self._error}")
                        self._error = None
                    errors = 0
                    self._sizes.append(packet.size)
                    yield packet
                    if self._undecoded.count > MAX_BAD_PACKETS and self._is_live:
                        self._error = f"{MAX_BAD_PACKETS} packets on end: {self._undecoded.reason}"
                        yield None
                        return
                break
            except av.error.FFmpegError as error:
                self._error = reason_of(error)
                errors += 1
                if self._is_live or not isinstance(error, _GOES_ON):
                    break
        yield None  # for what the decoder holds back

    def _decode(self) -> Iterator[_Decoded]:
        for packet in self._packets():
            try:
                frames = packet.decode() if packet else self.stream.decode(None)
            except av.error.FFmpegError as error:
                self._undecoded.add(length_of(packet), f"undecodable: {reason_of(error)}")
                continue
            is_guess = packet is not None and self._is_guess(packet)
            for frame in frames:
                if fault := fault_of(frame):
                    self._undecoded.add(length_of(frame), fault)
                    continue
                stamp_s = None if is_guess else self._stamp_s(frame)
                if damage := self._undecoded:
                    self._undecoded = Damage()
                    yield _Decoded(frame, stamp_s, float(damage.seconds), damage.reason)
                else:
                    yield _Decoded(frame, stamp_s, 0.0, None)

    def _is_guess(self, packet: Packet[AudioStream]) -> bool:
        """Return whether FFmpeg has only guessed a packet's stamp: FLAC's on an Ogg's first page.

        A page states its end, and FFmpeg does not know the length of FLAC's packets.
        """
        if self.kind != "ogg" or self.stream.codec_context.name != "flac":
            return False
        if self._guessed_at is None:
            self._guessed_at = packet.pos
        return packet.pos == self._guessed_at

    def _stamp_s(self, frame: AudioFrame) -> float | None:
        if not self._is_stamped or frame.pts is None:
            return None
        return frame.pts * self._tick[0] / self._tick[1]

    def _start_s(self, tracker: TimestampTracker[_Decoded]) -> float:
        """Return the delay of the audio's beginning after the container's."""
        start_s = tracker.start_s
        if start_s is None or self._is_live:
            return 0.0
        if self.kind in _FROM_ZERO:
            offset_s, limit_s = start_s, MAX_HOLE_S
        else:
            others = (stream for stream in self.container.streams if stream is not self.stream)
            starts = [
                float(other.start_time * other.time_base)
                for other in others
                if other.type in ("audio", "video")
                and other.start_time is not None
                and other.time_base is not None
            ]
            offset_s, limit_s = start_s - min([start_s, *starts]), _MAX_START_S
        tick_s = self._tick[0] / self._tick[1]
        return offset_s if 1.5 * tick_s < offset_s <= limit_s else 0.0

    def _stated_s(self) -> float:
        """Return the stated duration of the audio; 0 if there is none.

        For a container with timestamps, it is the timestamp at which the audio should end.
        """
        container, stream = self.container, self.stream
        duration_s = self.duration_s or 0.0
        if self.kind == "mp3":  # a guess fits the size; LAME's count of frames may not
            needed = duration_s * (stream.codec_context.bit_rate or 0) / 8
            return duration_s if needed > 1.01 * container.size > 0 else 0.0
        # Without a duration of its own, a stream may be shorter than the film around it. In
        # Matroska it has none, and FFmpeg gives it that of the film.
        own = stream.duration is not None and self.kind != _MATROSKA
        own |= len(container.streams) == 1
        if not own or self.kind not in _STATES_LENGTH:
            return 0.0
        if self.kind == _MOV and stream.start_time is not None and stream.time_base:
            return duration_s + float(stream.start_time * stream.time_base)
        return duration_s


def _duration_s(container: InputContainer, stream: AudioStream) -> float | None:
    duration_s = None
    if stream.duration is not None and stream.time_base:
        duration_s = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        duration_s = container.duration / 1e6
    return duration_s if duration_s is not None and duration_s > 0 else None
