"""Samples to columns: the constant-Q transform, rolling, for a batch of stations.

The highest octave is computed at 16 kHz. For each octave below, the signal is halved in rate
first, so every octave has kernels of the same length (about 210 samples) and costs little. A
decimator is one matrix product over blocks and an octave is one over frames, because for a
single channel that is what runs fast on a CPU and on a GPU alike. The products have fixed shapes
(see `model.units`): octave by octave, so that no row needs more old samples than its own filters.

Columns sit on a grid: column c is centred on sample ``c * hop``. There is one path for live
audio and for files: a file is a stream that comes in one piece (see `cqt`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from airsift.errors import ConfigError
from model.frontend import kernels as design
from model.frontend.base import (
    COLUMNS,
    COMPRESSION,
    State,
    checked_compression,
    columns_in,
    compress,
)
from model.units import Units, random_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from model.frontend.nnaudio_cqt import NnAudioCQT


class FrontEnd(Protocol):
    """What the rest of airsift needs of a front end."""

    sample_rate: int
    hop: int
    n_bins: int
    bins_per_octave: int
    fmin_hz: float
    compression: float
    units: list[Units]

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
    amplitude 1 on a bin's frequency has magnitude 1 in that bin, before compression. Bins are
    those of nnAudio's CQT1992v2: a tone of amplitude 1 anywhere differs by less than 1e-4.

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
        self.bins_per_octave = design.BINS_PER_OCTAVE
        self.fmin_hz = design.FMIN_HZ
        octaves = design.octaves()
        self._latency = design.latency(octaves)
        self._octaves = [
            _Octave(octave, self._latency, last=octave is octaves[-1]) for octave in octaves
        ]
        # Registered so that `.to(device)` moves their matrices.
        self._registered = nn.ModuleList(self._octaves)
        self._magnitude = Units(
            "magnitudes",
            self._compressed,
            random_rows((COLUMNS, len(octaves) * 2 * design.BINS_PER_OCTAVE)),
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
        size = sum(octave.tail for octave in self._octaves)
        return {"history": self._octaves[0].kernels.new_zeros(batch, size)}

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
            Column j is centred `latency` samples before sample ``j * hop`` of this call. They
            are computed in rows of `COLUMNS`: a column has the same bits in whatever batch, and
            in whatever calls, all but the last a multiple of `COLUMNS` long.
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
        steps = -(-count // COLUMNS)
        tails = torch.split_with_sizes(history, [octave.tail for octave in self._octaves], dim=1)
        spectra: list[Tensor] = []
        kept: list[Tensor] = []
        new = nn.functional.pad(samples, (0, (steps * COLUMNS - count) * self.hop))
        for octave, tail in zip(self._octaves, tails, strict=True):
            signal = torch.cat([tail, new], dim=1)
            end = count * octave.hop
            kept.append(signal[:, end : end + octave.tail])
            spectrum, *halved = octave.units(octave.rows(signal, steps))
            spectra.append(spectrum)
            if halved:
                new = halved[0].view(len(samples), steps * COLUMNS * octave.hop // 2)
        (columns,) = self._magnitude(torch.cat(spectra[::-1], dim=2))
        columns = columns.view(len(samples), steps * COLUMNS, self.n_bins)[:, :count]
        return columns, {"history": torch.cat(kept, dim=1)}

    def _compressed(self, spectra: Tensor) -> Tensor:
        """Columns from the cosine and sine parts of all octaves, lowest first."""
        shape = (len(spectra), COLUMNS, len(self._octaves), 2, design.BINS_PER_OCTAVE)
        parts = spectra.view(shape)
        real, imaginary = parts[:, :, :, 0], parts[:, :, :, 1]
        magnitude = real.square().addcmul_(imaginary, imaginary).sqrt_()
        return compress(magnitude.flatten(2), self.compression)


class _Octave(nn.Module):
    """One octave's matrices, and where its frames lie in what it remembers and what is new.

    A signal here is ``tail`` old samples of every station and then the new ones of this call,
    at the rate of this octave. A row of a unit is such a signal with `COLUMNS` columns' worth of
    new samples.
    """

    kernels: Tensor
    decimator: Tensor

    def __init__(self, octave: design.Octave, latency: int, *, last: bool) -> None:
        super().__init__()
        self.hop = octave.hop
        # Blocks of about 40 outputs: wide enough for a fast product, and hardly more
        # multiplications by zero than the filter has taps.
        self.outputs = min(octave.hop // 2, 40)
        # Samples from the start of the oldest frame, or filter, to the first new sample.
        framed = ((latency - octave.delay) >> octave.level) + octave.before
        filtered = 2 * design.DECIMATOR_HALF - 1 + octave.shift
        self.tail = max(framed, filtered)
        self.first_frame = self.tail - framed
        self.first_block = self.tail - filtered
        self.last = last
        # Not part of a state dict: the values follow from the constants.
        kernels = torch.tensor(octave.kernels, dtype=torch.float32)
        decimator = torch.tensor(design.decimator_matrix(self.outputs), dtype=torch.float32)
        self.register_buffer("kernels", kernels, persistent=False)
        self.register_buffer("decimator", decimator, persistent=False)
        self.units = Units(
            f"octave {octave.level}",
            self._transformed if last else self._transformed_and_halved,
            random_rows((self.tail + COLUMNS * self.hop,)),
        )

    def rows(self, signal: Tensor, steps: int) -> Tensor:
        """Cut signals into rows of units, shape=(batch * steps, tail + COLUMNS * hop)."""
        return signal.unfold(1, self.tail + COLUMNS * self.hop, COLUMNS * self.hop).flatten(0, 1)

    def _transformed(self, rows: Tensor) -> Tensor:
        """Compute the cosine and sine parts of the new columns, (n, COLUMNS, 2 * bins)."""
        kernels = self.kernels
        frames = _blocks(rows, self.first_frame, len(kernels), self.hop, COLUMNS)
        return (frames @ kernels).view(len(rows), COLUMNS, -1)

    def _transformed_and_halved(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Transform, and low-pass filter the new samples and keep every second of them."""
        decimator = self.decimator
        step = 2 * self.outputs
        count = COLUMNS * self.hop // step
        blocks = _blocks(rows, self.first_block, len(decimator), step, count)
        return self._transformed(rows), (blocks @ decimator).view(len(rows), -1)


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


def make_front_end(kind: str, compression: float = COMPRESSION) -> RollingCQT | NnAudioCQT:
    """Build the front end that a configuration names.

    Parameters
    ----------
    kind : str
        ``"rolling"`` for `RollingCQT`, ``"nnaudio"`` for `model.frontend.nnaudio_cqt.NnAudioCQT`.
    compression : float >= 0
        C in ``log2(1 + C * magnitude)``; 0 leaves the magnitude as it is.

    Raises
    ------
    ConfigError
        There is no front end of that name, or the compression is negative or not finite.
    """
    if kind == "rolling":
        return RollingCQT(compression)
    if kind == "nnaudio":
        from model.frontend.nnaudio_cqt import NnAudioCQT

        return NnAudioCQT(compression)
    raise ConfigError(f"front_end={kind!r} must be 'rolling' or 'nnaudio'")


def _blocks(signal: Tensor, first: int, width: int, step: int, count: int) -> Tensor:
    """Overlapping blocks of every station, shape=(batch * count, width)."""
    shape, strides = (len(signal), count, width), (signal.stride(0), step, 1)
    blocks = signal.as_strided(shape, strides, signal.storage_offset() + first)
    # Rows of all stations in one matrix: one product is much faster than one per station.
    return blocks.reshape(len(signal) * count, width)
