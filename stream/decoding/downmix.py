"""Decoded frames of any format to mono float32 blocks.

FFmpeg's own downmix adds 3 dB to stereo (two equal full-scale channels become 1.41), drops the
bass channel of 5.1 and cancels audio in opposite phase. So its `pan` filter computes the mean over
channels, and `stream.stages.mono` does the rest. PyAV's `to_ndarray` is not called on decoded
frames: on planar frames of eight channels (7.1), version 18 reads past the list of planes.
"""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av.error
import numpy as np
from av.filter import Graph

from stream.decoding.channels import MAX_CHANNELS
from stream.stages.mono import MonoMixer

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.audio.frame import AudioFrame
    from numpy.typing import NDArray


class Downmix:
    """Mono audio in blocks of about `block` samples at `rate`, see `MonoMixer`.

    Frames may change format, channels or rate at any time, as between the songs of some web
    radios. Earlier frames are then completed with the old graph, and other rates are converted to
    `rate`, so that samples can be counted.

    Parameters
    ----------
    rate : int > 0
        Samples per second of the blocks.
    block : int > 0
        Samples in a block, within 0.1 s; the last block before a change or :meth:`flush` may be
        shorter.
    warn : callable
        Receives a line when a fault of the channels begins or ends.
    """

    def __init__(self, rate: int, block: int, warn: Callable[[str], None]) -> None:
        self.rate = rate
        self.block = block
        self._warn = warn
        self._kind: tuple[str, str, int] | None = None  # format, layout, rate of the frames
        self._pending = 0  # samples pushed and not yet pulled, at the frames' rate

    def push(self, frame: AudioFrame) -> list[NDArray[np.float32]]:
        """Add one frame; return the blocks that are complete."""
        blocks: list[NDArray[np.float32]] = []
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:
            blocks = self.flush()
            self._configure(frame)
            self._kind = kind
        frame.pts = None  # time is counted in samples, and timestamps may jump
        self._source.push(frame)
        self._pending += frame.samples
        if self._pending * self.rate >= self.block * frame.sample_rate:
            # An empty sink raises an exception, which costs more than a frame. So it is read only
            # when a block should be complete.
            self._pending = 0
            blocks += self._pull()
        return blocks

    def flush(self) -> list[NDArray[np.float32]]:
        """Return the remaining samples, and start anew with the next frame."""
        if self._kind is None:
            return []
        self._kind = None
        self._pending = 0
        self._source.push(None)
        return [*self._pull(), *self._given(*self._mixer.flush())]

    def _configure(self, frame: AudioFrame) -> None:
        channels = frame.layout.nb_channels
        mean = "+".join(f"{1 / channels!r}*c{i}" for i in range(channels))
        if 1 < channels <= MAX_CHANNELS:
            # FFmpeg's mean of 16 bit samples has 16 bits, so the mixer receives it as well.
            self._mixer = MonoMixer(channels, self.rate, has_mean=True)
            same = "|".join(f"c{i}=c{i}" for i in range(channels))
            mix = f"{channels + 1}C|{same}|c{channels}={mean}"
        else:
            self._mixer = MonoMixer(1, self.rate)
            mix = f"mono|c0={mean}"
        graph = Graph()
        nodes = [
            graph.add_abuffer(
                sample_rate=frame.sample_rate,
                format=frame.format,
                layout=frame.layout,
                time_base=Fraction(1, frame.sample_rate),
            ),
            graph.add("pan", mix),
            graph.add("aformat", f"sample_fmts=flt:sample_rates={self.rate}"),
            graph.add("asetnsamples", f"n={self.block}:p=0"),
            graph.add("abuffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        self._graph = graph  # nodes do not keep their graph alive
        self._source, self._sink = nodes[0], nodes[-1]

    def _pull(self) -> list[NDArray[np.float32]]:
        blocks = []
        with suppress(av.error.BlockingIOError, av.error.EOFError):
            while True:
                frame = cast("AudioFrame", self._sink.pull())
                samples = cast("NDArray[np.float32]", frame.to_ndarray())
                blocks += self._given(*self._mixer.push(samples.reshape(-1, self._mixer.width)))
        return blocks

    def _given(self, samples: NDArray[np.float32], lines: list[str]) -> list[NDArray[np.float32]]:
        for line in lines:
            self._warn(line)
        return [samples] if len(samples) else []
