"""Samples to columns: the constant-Q transform, rolling, for a batch of stations.

The highest octave is computed at 16 kHz. For each octave below, the signal is halved in rate
first, so every octave has kernels of the same length (about 210 samples) and costs the same.
A decimator is one matrix product over blocks and an octave is one over frames, because for a
single channel that is what runs fast on a CPU and on a GPU alike.

Columns sit on a grid: column c is centred on sample ``c * hop``. There is one path for live
audio and for files: a file is a stream that comes in one piece (see `cqt`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from airsift.errors import ConfigError
from model import cqt_kernels as design

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

State = dict[str, Tensor]

COMPRESSION = 10_000.0


class FrontEnd(Protocol):
    """What the rest of airsift needs of a front end."""

    sample_rate: int
    hop: int
    n_bins: int

    @property
    def latency(self) -> int:
        """Samples by which the columns of a call lie before its samples."""

    def initial_state(self, batch: int) -> State:
        """State of `batch` stations that have heard silence so far."""

    def __call__(self, samples: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """Push samples, get as many columns as there are hops in them."""


class RollingCQT(nn.Module):
    """Constant-Q magnitudes of audio as it arrives.

    16 kHz, 144 bins from 80 Hz, 24 to the octave, a column every 320 samples. A sine of
    amplitude 1 on a bin's frequency has magnitude 1 in that bin, before compression.

    Parameters
    ----------
    compression : float >= 0
        C in ``log2(1 + C * magnitude)``; 0 leaves the magnitude as it is.

    Raises
    ------
    ConfigError
        The compression is negative or not finite.
    """

    def __init__(self, compression: float = COMPRESSION) -> None:
        super().__init__()
        self.compression = checked_compression(compression)
        self.sample_rate = design.SAMPLE_RATE
        self.hop = design.HOP
        self.n_bins = design.N_BINS
        octaves = design.octaves()
        self._latency = design.latency(octaves)
        self._octaves = [_Plan(octave, self._latency) for octave in octaves]
        for plan in self._octaves:
            self._hold(f"kernels_{plan.level}", plan.octave.kernels)
        for outputs in {plan.outputs for plan in self._octaves}:
            self._hold(f"decimator_{outputs}", design.decimator_matrix(outputs))

    def _hold(self, name: str, values: NDArray[np.float64]) -> None:
        # Not part of a state dict: the values follow from the constants.
        self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    @property
    def latency(self) -> int:
        """Samples by which the columns of a call lie before its samples.

        Half the longest kernel and the delays of the decimators, rounded up to whole hops.
        Column j of a call whose first sample is n is centred on sample
        ``n + j * hop - latency``.
        """
        return self._latency

    def initial_state(self, batch: int) -> State:
        """State of stations that have heard silence so far.

        Parameters
        ----------
        batch : int >= 0
            Number of stations.

        Returns
        -------
        dict of torch.Tensor [shape=(batch, ...)]
            One row per station: rows may be saved, restored, replaced and put into other
            batches.
        """
        size = sum(plan.tail for plan in self._octaves)
        return {"history": self.get_buffer("kernels_0").new_zeros(batch, size)}

    def forward(self, samples: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """Push the next samples of every station.

        Parameters
        ----------
        samples : torch.Tensor [shape=(batch, m * hop), float32]
            Mono audio at 16 kHz, full scale is +-1.
        state : mapping
            What `initial_state` or the call before returned. It is not changed.

        Returns
        -------
        columns : torch.Tensor [shape=(batch, m, n_bins)]
            Column j is centred `latency` samples before sample ``j * hop`` of this call.
        state : dict of torch.Tensor
            For the next call.

        Raises
        ------
        ValueError
            The samples are not a batch of whole hops, or the state is of another batch.
        """
        count = columns_in(samples, self.hop)
        tails = torch.split_with_sizes(
            state["history"], [plan.tail for plan in self._octaves], dim=1
        )
        spectra: list[Tensor] = []
        kept: list[Tensor] = []
        new = samples
        for plan, tail in zip(self._octaves, tails, strict=True):
            signal = torch.cat([tail, new], dim=1)
            kept.append(signal[:, signal.shape[1] - plan.tail :])
            frames = _blocks(signal, plan.first_frame, plan.width, plan.hop, count)
            spectra.append(frames @ self.get_buffer(f"kernels_{plan.level}"))
            if plan.level + 1 < len(self._octaves):
                new = self._halve(signal, plan, count)
        parts = torch.stack(spectra[::-1], dim=2).view(len(samples), count, len(spectra), 2, -1)
        magnitude = parts.square().sum(dim=3).sqrt().flatten(2)
        return compress(magnitude, self.compression), {"history": torch.cat(kept, dim=1)}

    def _halve(self, signal: Tensor, plan: _Plan, columns: int) -> Tensor:
        """Low-pass filter a signal and keep every second sample, for as long as it is new."""
        matrix = self.get_buffer(f"decimator_{plan.outputs}")
        count = columns * plan.hop // (2 * plan.outputs)
        blocks = _blocks(signal, plan.first_block, matrix.shape[0], 2 * plan.outputs, count)
        return (blocks @ matrix).flatten(1)


class _Plan:
    """Where one octave's frames and decimator blocks lie in its tail and new samples."""

    def __init__(self, octave: design.Octave, latency: int) -> None:
        self.octave = octave
        self.level = octave.level
        self.hop = octave.hop
        self.width = octave.kernels.shape[0]
        # Samples of this octave from the first sample of the oldest frame to the newest call.
        back = ((latency - octave.delay) >> octave.level) + octave.before
        filtered = 2 * design.DECIMATOR_HALF - 1 + octave.shift
        self.tail = max(back, filtered)
        self.first_frame = self.tail - back
        self.first_block = self.tail - filtered
        self.outputs = min(self.hop // 2, 40)


def cqt(samples: Tensor, front_end: FrontEnd) -> Tensor:
    """All columns of finished recordings: the stream, in one piece.

    Parameters
    ----------
    samples : torch.Tensor [shape=(batch, n), float32]
        Mono audio at 16 kHz, full scale is +-1. Silence is assumed before and after.
    front_end : FrontEnd
        On the samples' device.

    Returns
    -------
    torch.Tensor [shape=(batch, ceil(n / hop), n_bins)]
        Column c is centred on sample ``c * hop``.
    """
    short = -samples.shape[1] % front_end.hop
    padded = nn.functional.pad(samples, (0, short + front_end.latency))
    columns, _ = front_end(padded, front_end.initial_state(samples.shape[0]))
    return columns[:, front_end.latency // front_end.hop :]


def compress(magnitude: Tensor, compression: float) -> Tensor:
    """``log2(1 + compression * magnitude)``, or the magnitude itself for a compression of 0."""
    return torch.log2(1.0 + compression * magnitude) if compression else magnitude


def checked_compression(compression: float) -> float:
    """Return the compression if it is a number that `compress` can use.

    Raises
    ------
    ConfigError
        It is negative or not finite.
    """
    if not 0.0 <= compression < float("inf"):
        raise ConfigError(
            f"compression={compression} must be a finite number >= 0; 0 switches it off"
        )
    return compression


def columns_in(samples: Tensor, hop: int) -> int:
    """Count the columns that a call's samples complete.

    Raises
    ------
    ValueError
        The samples have no batch dimension, or are not whole hops.
    """
    if samples.ndim != 2:
        raise ValueError(f"samples.shape={tuple(samples.shape)} must be (batch, n): add a batch")
    if samples.shape[1] % hop:
        raise ValueError(
            f"samples.shape[1]={samples.shape[1]} must be a multiple of hop={hop}: "
            "keep the rest for the next call"
        )
    return samples.shape[1] // hop


def _blocks(signal: Tensor, first: int, width: int, step: int, count: int) -> Tensor:
    """Overlapping views of a signal, shape=(batch, count, width)."""
    span = max(0, (count - 1) * step + width) if count else width
    return signal[:, first : first + span].unfold(1, width, step)[:, :count]
