"""The audio in a file, URL or file object, as float32 blocks counted in samples.

PyAV contains FFmpeg's demuxers and decoders. Damage does not end the reading: samples that do not
decode are skipped, and each damage adds one line to `problems`. So all sound audio is returned,
and a damaged file is not mistaken for a complete one. Where a container's timestamps have a hole,
blocks skip it as well, which is no problem.
"""

from __future__ import annotations

import logging
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from airsift.errors import AirsiftError, DecodeError
from stream.decoding.container import EMPTY, SHORT_S, ContainerDecoder
from stream.decoding.damage import Damage, split_sound
from stream.decoding.downmix import Downmix
from stream.decoding.file_parts import FileParts
from stream.decoding.tracks import note_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from stream.decoding.file_parts import FilePart

log = logging.getLogger(__name__)

MAX_PROBLEMS = 20  # damages with a line of their own; the others are counted
HOLE = "a hole in the timestamps"


class Block(NamedTuple):
    """Consecutive samples.

    Parameters
    ----------
    start : int >= 0
        Index of the first sample at the reader's rate, lost audio included.
    samples : np.ndarray [shape=(n,) or (n, channels), float32]
        Finite, full scale is +-1. Mono unless the reader keeps channels.
    lost : str, optional
        Why audio before `start` is lost, if it is.
    """

    start: int
    samples: NDArray[np.float32]
    lost: str | None = None


class AudioReader:
    """One audio track of a file, URL or file object, opened and known to decode.

    Iterate once for :class:`Block` after block; memory does not grow with the length.

    Parameters
    ----------
    source : path, URL or binary file object
        What to read. A string with ``://`` is a URL, any other a local path.
    name : str, optional
        Its name in messages; by default the path or URL.
    block_s : float > 0
        Seconds in a block.
    options : dict, optional
        FFmpeg's options for the demuxer and the protocol.
    timeout_s : float, optional
        Seconds for opening, and for each read.
    track : str, optional
        Number, language or title of the audio track; by default the container's default.
    max_spool : int >= 0
        Bytes of a pipe that may be stored on disk, if the format requires it; by default none.
    keep_channels : bool
        Whether blocks keep up to 8 channels; by default they are mixed to one.

    Attributes
    ----------
    rate : int
        Samples per second of all blocks: that of the first decoded frame.
    channels : int
        Channels of the first decoded frame.
    codec : str
        FFmpeg's name of the codec.
    duration_s : float or None
        Duration by the container, for progress bars; an estimate in some formats.
    finite : bool
        Whether the end is known in advance; False for a live stream.
    problems : list of str
        One line for each damage met so far, with the file's name and the position.
    error : str or None
        Why the audio ended too early, known at its end; None if it is complete.

    Raises
    ------
    SourceError
        There is nothing to open, or it cannot be reached.
    DecodeError
        It holds no audio, or none that decodes.
    """

    def __init__(
        self,
        source: str | Path | BinaryIO,
        *,
        name: str | None = None,
        block_s: float = 1.0,
        options: dict[str, str] | None = None,
        timeout_s: float | None = None,
        track: str | None = None,
        max_spool: int = 0,
        keep_channels: bool = False,
    ) -> None:
        self.name = name or str(getattr(source, "name", source))
        self.problems: list[str] = []
        self.error: str | None = None
        self._left_out = Damage()  # after the last block
        self._jump = 0  # samples without audio after the last block, damaged ones included
        self._unreported = 0
        self._end = 0  # index of the sample after the last block
        self._options, self._timeout_s, self._track = options or {}, timeout_s, track
        self._parts = FileParts(source, self.name, max_spool)
        try:
            self._part, self._decoder = self._open_first()
            if self._parts.look_for_joints(self._decoder.kind):
                self._decoder.close()
                self._part, self._decoder = self._open_first()
        except BaseException:
            self._parts.close()
            raise
        first = self._decoder.first
        self.rate = first.sample_rate
        self.channels = first.layout.nb_channels
        self.codec = self._decoder.stream.codec_context.codec.canonical_name
        self.duration_s = self._decoder.duration_s if self._parts.is_one else None
        self.finite = self._decoder.finite
        block = max(1, round(block_s * self.rate))
        self._downmix = Downmix(self.rate, block, self._note, keep_channels=keep_channels)
        self._note(note_of(self._decoder.container, self._decoder.stream))

    def __iter__(self) -> Iterator[Block]:
        while True:
            begin = self._end
            yield from self._blocks(self._decoder)
            following = self._open_next()
            self._check_end(begin, is_last=following is None)
            self._decoder.close()
            if following is None:
                break
            self._part, self._decoder = following
        if self._unreported:
            self.problems.append(f"{self.name}: {self._unreported} more places are left out")

    def close(self) -> None:
        """Close the file or connection. Not while another thread is iterating."""
        self._decoder.close()
        self._parts.close()

    def _open_first(self) -> tuple[FilePart, ContainerDecoder]:
        """Open the first part that has audio."""
        part = self._parts.next()
        assert part is not None
        try:
            return part, self._open(part)
        except AirsiftError as error:
            if self._parts.is_empty:
                raise DecodeError(f"{self.name}: {EMPTY}") from error
            if not self._parts.look_behind_damage():
                self._report_part(error)
            following = self._open_next()
            if following is None:
                raise
            return following

    def _open_next(self) -> tuple[FilePart, ContainerDecoder] | None:
        """Open the next part that has audio, and report those before it."""
        while (part := self._parts.next()) is not None:
            try:
                return part, self._open(part)
            except AirsiftError as error:
                self._report_part(error)
        return None

    def _open(self, part: FilePart) -> ContainerDecoder:
        return ContainerDecoder(part.source, self.name, self._options, self._timeout_s, self._track)

    def _blocks(self, decoder: ContainerDecoder) -> Iterator[Block]:
        """Yield the blocks of one container."""
        for frame, jump, damage, disbelieved_s in decoder.frames(self.rate):
            if jump or damage or disbelieved_s:
                yield from self._number(self._downmix.flush())
                self._jump += jump
                if damage:
                    self._left_out.add(Fraction(jump, self.rate), damage)
                if disbelieved_s:
                    self._report(
                        f"its timestamps jump by {disbelieved_s:.0f} s at "
                        f"{(self._end + self._jump) / self.rate:.3f} s, which is more than a hole "
                        "can be; what follows is dated as if nothing were missing"
                    )
            yield from self._number(self._downmix.push(frame))
        yield from self._number(self._downmix.flush())

    def _number(self, blocks: list[NDArray[np.float32]]) -> Iterator[Block]:
        """Give blocks their positions, and leave out samples that are not sound."""
        for block in blocks:
            for samples, fault in split_sound(block, self.rate):
                if fault:
                    self._jump += len(samples)
                    self._left_out.add(Fraction(len(samples), self.rate), fault)
                    continue
                lost = self._skip()
                yield Block(self._end, samples, lost)
                self._end += len(samples)

    def _skip(self) -> str | None:
        """Skip what is left out, report damage, and return why."""
        jump, self._jump = self._jump, 0
        damage, self._left_out = self._left_out, Damage()
        if damage:
            what = "audio of unknown length at {} s is"
            if damage.seconds:
                what = f"{float(damage.seconds):.4f} s of audio at {{}} s are"
            at_s = f"{self._end / self.rate:.3f}"
            self._report(
                f"{what.format(at_s)} left out ({damage.reason}); get a sound copy of the file"
            )
        is_start = self._end == 0
        self._end += jump
        if damage:
            return damage.reason
        return HOLE if jump and not is_start else None

    def _note(self, line: str) -> None:
        """Log what is not damage: which track is read, faults of the channels."""
        if line:
            log.warning("%s: %s", self.name, line)

    def _check_end(self, begin: int, *, is_last: bool) -> None:
        if self._left_out:
            self._skip()
        end_s, part_s = self._end / self.rate, (self._end - begin) / self.rate
        promised_s = self._parts.promised(self._part) * part_s
        error = self._decoder.why_short(part_s)
        if error is None and promised_s - part_s > SHORT_S:
            error = f"its header promises {promised_s:.2f} s"
        if error is None and is_last and self._parts.is_cut:
            error = "its last page is cut short"
        if error is None:
            return
        if not is_last:
            self._report(f"a part of it ends early at {end_s:.2f} s ({error}); get a whole copy")
            return
        self.error = error
        self.problems.append(
            f"{self.name}: ends early at {end_s:.2f} s ({error}); all before that is "
            "used, get a whole copy of the file for the rest"
        )

    def _report_part(self, error: AirsiftError) -> None:
        at_s = self._end / self.rate if self._end else 0.0
        reason = str(error).removeprefix(f"{self.name}: ")
        self._report(f"a part of it at {at_s:.2f} s cannot be read ({reason})")

    def _report(self, problem: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(f"{self.name}: {problem}")
        else:
            self._unreported += 1
