"""Decoded frames of any format to float32 blocks, mono or with their channels.

Frames are joined by FFmpeg's queue, and mixed by `stream.stages.mono` at their own rate. FFmpeg's
own downmix adds 3 dB to stereo (two equal full-scale channels become 1.41), drops the bass channel
of 5.1 and cancels audio in opposite phase; its `pan` filter took longer than decoding PCM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from av.audio.fifo import AudioFifo
from av.audio.resampler import AudioResampler

from stream.decoding.channels import MAX_CHANNELS
from stream.decoding.planes import is_readable, planes_of
from stream.resampler import Resampler
from stream.stages.mono import MonoMixer

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.audio.frame import AudioFrame
    from numpy.typing import NDArray


class Downmix:
    """Audio in blocks of about `block` samples at `rate`, see `MonoMixer`.

    Frames may change format, channels or rate at any time, as between the songs of some web
    radios. Earlier frames are then completed first, and other rates are converted to `rate`, so
    that samples can be counted.

    Parameters
    ----------
    rate : int > 0
        Samples per second of the blocks.
    block : int > 0
        Samples in a block, within 0.1 s; the last block before a change or :meth:`flush` may be
        shorter.
    warn : callable
        Receives a line when a fault of the channels begins or ends.
    keep_channels : bool
        Whether blocks keep up to 8 channels, with shape [n, channels], for a pipeline that mixes
        them. Audio of more channels, or at a rate other than `rate`, is mixed all the same.
    """

    def __init__(
        self,
        rate: int,
        block: int,
        warn: Callable[[str], None],
        *,
        keep_channels: bool = False,
    ) -> None:
        self.rate = rate
        self.block = block
        self._warn = warn
        self._keep_channels = keep_channels
        self._kind: tuple[str, int, int] | None = None  # format, channels, rate of the frames

    def push(self, frame: AudioFrame) -> list[NDArray[np.float32]]:
        """Add one frame; return the blocks that are complete."""
        blocks: list[NDArray[np.float32]] = []
        kind = (frame.format.name, frame.layout.nb_channels, frame.sample_rate)
        if kind != self._kind:
            blocks = self.flush()
            self._configure(frame)
            self._kind = kind
        frame.pts = None  # time is counted in samples, and timestamps may jump
        if self._packer is None:
            self._queue.write(frame)
        else:
            for packed in self._packer.resample(frame):
                packed.pts = None
                self._queue.write(packed)
        while self._queue.samples >= self._needed:
            blocks += self._mixed(self._queue.read(self._needed))
        return blocks

    def flush(self) -> list[NDArray[np.float32]]:
        """Return the remaining samples, and start anew with the next frame."""
        if self._kind is None:
            return []
        self._kind = None
        blocks = self._mixed(self._queue.read())
        rest = self._resampler.push(self._warned(self._mixer.flush()), last=True)
        return [*blocks, rest] if len(rest) else blocks

    def _configure(self, frame: AudioFrame) -> None:
        rate = frame.sample_rate
        self._needed = max(self.block * rate // self.rate, 1)
        self._mixer = MonoMixer(frame.layout.nb_channels, rate)
        self._resampler = Resampler(rate, self.rate)
        self._keeps = (
            self._keep_channels
            and 1 < frame.layout.nb_channels <= MAX_CHANNELS
            and rate == self.rate
        )
        self._queue = AudioFifo()
        self._packer = None
        if not is_readable(frame):
            self._packer = AudioResampler(frame.format.packed, frame.layout, rate)

    def _mixed(self, frame: AudioFrame | None) -> list[NDArray[np.float32]]:
        if frame is None:
            return []
        samples = planes_of([frame]).T
        if self._keeps:
            return [samples]
        mono = self._warned(self._mixer.push(samples))
        samples = self._resampler.push(mono)
        return [samples] if len(samples) else []

    def _warned(self, mixed: tuple[NDArray[np.float32], list[str]]) -> NDArray[np.float32]:
        samples, lines = mixed
        for line in lines:
            self._warn(line)
        return samples
