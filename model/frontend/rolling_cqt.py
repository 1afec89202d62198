"""From samples to columns: a streaming constant-Q transform for a batch of stations.

The highest octave is computed at 16 kHz. Each lower octave is computed at half the rate of the one
above, so that all kernels are short (about 210 samples). Decimator and octave are one matrix
product each, which is fast for a single channel on CPU and GPU. The products have fixed shapes
(see `model.units`), one octave at a time, so that a row holds no more past samples than its own
filters need.

Column c is centred on sample ``c * hop``. Files take the same path as live audio: see `cqt`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from airsift.errors import ConfigError
from model.frontend import kernels as design
from model.frontend.base import (
    ROW_COLUMNS,
    State,
    TensorFrontEnd,
    columns_in,
)
from model.frontend.compression import checked_compression, compress
from model.spec import BINS_PER_OCTAVE, COMPRESSION, FMIN_HZ, HOP, N_BINS, SAMPLE_RATE
from model.tensors import tensor_units
from model.units import random_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from model.frontend.nnaudio_cqt import NnAudioCQT


class RollingCQT(nn.Module):
    """Streaming constant-Q magnitudes.

    The numbers are those of `model.spec`. A sine of amplitude 1 on a bin's frequency has
    magnitude 1 in that bin, before compression. For tones of amplitude 1 the result differs from
    nnAudio's CQT1992v2 by less than 1e-4.

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
        self.sample_rate = SAMPLE_RATE
        self.hop = HOP
        self.n_bins = N_BINS
        self.bins_per_octave = BINS_PER_OCTAVE
        self.fmin_hz = FMIN_HZ
        octaves = design.octaves()
        self._latency = design.latency(octaves)
        self._octaves = [
            _Octave(octave, self._latency, last=octave is octaves[-1]) for octave in octaves
        ]
        # Registered so that `.to(device)` moves their matrices.
        self._registered = nn.ModuleList(self._octaves)
        self._magnitude = tensor_units(
            "magnitudes",
            self._compressed,
            random_rows((ROW_COLUMNS, len(octaves) * 2 * BINS_PER_OCTAVE)),
        )
        self.units = [*(octave.units for octave in self._octaves), self._magnitude]

    @property
    def latency(self) -> int:
        """Samples by which the columns of a call lie before its samples.

        Half the longest kernel and the delays of the decimators, rounded up to whole hops.
        Column j of a call whose first sample is n is centred on sample
        ``n + j * hop - latency``.
        """
        return self._latency

    def initial_state(self, batch: int) -> State:
        """Return the state of stations after silence.

        Parameters
        ----------
        batch : int >= 0
            Number of stations.

        Returns
        -------
        dict of torch.Tensor [shape=(batch, ...)]
            One row for each station; rows may be stored and moved between batches.
        """
        size = sum(octave.tail for octave in self._octaves)
        return {"history": self._octaves[0].kernels.new_zeros(batch, size)}

    def forward(self, samples: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """Push the next samples of every station.

        Parameters
        ----------
        samples : torch.Tensor [shape=(batch, m * hop), float32]
            Mono audio at 16 kHz, full scale is +-1.
        state : mapping
            From `initial_state` or the previous call. It is not changed.

        Returns
        -------
        columns : torch.Tensor [shape=(batch, m, n_bins)]
            Column j is centred `latency` samples before sample ``j * hop`` of this call. A
            column has the same bits in any batch, and for any division into calls whose
            lengths, except the last, are multiples of `ROW_COLUMNS`.
        state : dict of torch.Tensor
            For the next call.

        Raises
        ------
        ValueError
            The samples are not a batch of whole hops, or the state is of another batch.
        """
        history = state["history"]
        count = columns_in(samples, history, self.hop)
        if count == 0:
            return samples.new_zeros(len(samples), 0, self.n_bins), {"history": history}
        steps = -(-count // ROW_COLUMNS)
        tails = torch.split_with_sizes(history, [octave.tail for octave in self._octaves], dim=1)
        spectra: list[Tensor] = []
        next_tails: list[Tensor] = []
        new = nn.functional.pad(samples, (0, (steps * ROW_COLUMNS - count) * self.hop))
        for octave, tail in zip(self._octaves, tails, strict=True):
            signal = torch.cat([tail, new], dim=1)
            end = count * octave.hop
            next_tails.append(signal[:, end : end + octave.tail])
            spectrum, *halved = octave.units(octave.rows(signal, steps))
            spectra.append(spectrum)
            if halved:
                new = halved[0].view(len(samples), steps * ROW_COLUMNS * octave.hop // 2)
        (columns,) = self._magnitude(torch.cat(spectra[::-1], dim=2))
        columns = columns.view(len(samples), steps * ROW_COLUMNS, self.n_bins)[:, :count]
        return columns, {"history": torch.cat(next_tails, dim=1)}

    def _compressed(self, spectra: Tensor) -> Tensor:
        """Compute columns from the cosine and sine parts of all octaves, lowest first."""
        shape = (len(spectra), ROW_COLUMNS, len(self._octaves), 2, BINS_PER_OCTAVE)
        parts = spectra.view(shape)
        real, imaginary = parts[:, :, :, 0], parts[:, :, :, 1]
        magnitude = real.square().addcmul_(imaginary, imaginary).sqrt_()
        return compress(magnitude.flatten(2), self.compression)


class _Octave(nn.Module):
    """The matrices of one octave, and the positions of its frames.

    A signal is the last ``tail`` samples of each station, then the new samples of this call, at
    the rate of this octave. A row of a unit is such a signal with the new samples of
    `ROW_COLUMNS` columns.
    """

    kernels: Tensor
    decimator: Tensor

    def __init__(self, octave: design.Octave, latency: int, *, last: bool) -> None:
        super().__init__()
        self.hop = octave.hop
        # Blocks of 40 outputs: wide enough for a fast product, with few multiplications by zero.
        self.outputs = min(octave.hop // 2, 40)
        # Samples from the start of the oldest frame or filter to the first new sample.
        framed = ((latency - octave.delay) >> octave.level) + octave.before
        filtered = 2 * design.DECIMATOR_HALF - 1 + octave.shift
        self.tail = max(framed, filtered)
        self.first_frame = self.tail - framed
        self.first_block = self.tail - filtered
        self.last = last
        # Not in the state dict: the values follow from constants.
        matrix = torch.tensor(octave.kernels, dtype=torch.float32)
        decimator = torch.tensor(design.decimator_matrix(self.outputs), dtype=torch.float32)
        self.register_buffer("kernels", matrix, persistent=False)
        self.register_buffer("decimator", decimator, persistent=False)
        self.units = tensor_units(
            f"octave {octave.level}",
            self._transformed if last else self._transformed_and_halved,
            random_rows((self.tail + ROW_COLUMNS * self.hop,)),
        )

    def rows(self, signal: Tensor, steps: int) -> Tensor:
        """Cut signals into rows of units, shape=(batch * steps, tail + ROW_COLUMNS * hop)."""
        return signal.unfold(1, self.tail + ROW_COLUMNS * self.hop, ROW_COLUMNS * self.hop).flatten(
            0, 1
        )

    def _transformed(self, rows: Tensor) -> Tensor:
        """Compute the cosine and sine parts of the new columns, (n, ROW_COLUMNS, 2 * bins)."""
        frames = _blocks(rows, self.first_frame, len(self.kernels), self.hop, ROW_COLUMNS)
        return (frames @ self.kernels).view(len(rows), ROW_COLUMNS, -1)

    def _transformed_and_halved(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Transform, and low-pass filter the new samples and keep every second of them."""
        decimator = self.decimator
        step = 2 * self.outputs
        count = ROW_COLUMNS * self.hop // step
        blocks = _blocks(rows, self.first_block, len(decimator), step, count)
        return self._transformed(rows), (blocks @ decimator).view(len(rows), -1)


def cqt(samples: Tensor, front_end: TensorFrontEnd) -> Tensor:
    """Compute all columns of complete recordings, in one call.

    Parameters
    ----------
    samples : torch.Tensor [shape=(batch, n), float32]
        Mono at 16 kHz, full scale is +-1. Silence is assumed before and after.
    front_end : TensorFrontEnd
        On the device of the samples.

    Returns
    -------
    torch.Tensor [shape=(batch, ceil(n / hop), n_bins)]
        Column c is centred on sample ``c * hop``.
    """
    short = -samples.shape[1] % front_end.hop
    padded = nn.functional.pad(samples, (0, short + front_end.latency))
    columns, _ = front_end(padded, front_end.initial_state(samples.shape[0]))
    return columns[:, front_end.latency // front_end.hop :]


def make_front_end(kind: str, compression: float = COMPRESSION) -> RollingCQT | NnAudioCQT:
    """Build a front end by name.

    Parameters
    ----------
    kind : str
        ``"rolling"`` for `RollingCQT`, ``"nnaudio"`` for `model.frontend.nnaudio_cqt.NnAudioCQT`.
    compression : float >= 0
        C in ``log2(1 + C * magnitude)``; 0 leaves the magnitude as it is.

    Raises
    ------
    ConfigError
        The name is unknown, or the compression is negative or not finite.
    """
    if kind == "rolling":
        return RollingCQT(compression)
    if kind == "nnaudio":
        from model.frontend.nnaudio_cqt import NnAudioCQT

        return NnAudioCQT(compression)
    raise ConfigError(f"front_end={kind!r} must be 'rolling' or 'nnaudio'")


def _blocks(signal: Tensor, first: int, width: int, step: int, count: int) -> Tensor:
    """Return overlapping blocks of every station, shape=(batch * count, width)."""
    shape, strides = (len(signal), count, width), (signal.stride(0), step, 1)
    blocks = signal.as_strided(shape, strides, signal.storage_offset() + first)
    # One product over the rows of all stations is much faster than one for each station.
    return blocks.reshape(len(signal) * count, width)
