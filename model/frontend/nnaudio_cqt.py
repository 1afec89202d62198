"""nnAudio's CQT1992v2 behind the same interface: what `RollingCQT` is held to.

It multiplies the signal with one dense kernel of 8192 samples for each bin, which costs some
twenty times more on a CPU. Choose it to check a result, or where a GPU makes it cheap.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

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


class NnAudioCQT(nn.Module):
    """Columns as `model.frontend.rolling_cqt.RollingCQT` makes them, computed by nnAudio.

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
        # Slow to import, and needed by those only who ask for the reference.
        from nnAudio.features.cqt import CQT1992v2

        self.compression = checked_compression(compression)
        self.sample_rate = design.SAMPLE_RATE
        self.hop = design.HOP
        self.n_bins = design.N_BINS
        self.bins_per_octave = design.BINS_PER_OCTAVE
        self.fmin_hz = design.FMIN_HZ
        self.transform = CQT1992v2(
            sr=design.SAMPLE_RATE,
            hop_length=design.HOP,
            fmin=design.FMIN_HZ,
            n_bins=design.N_BINS,
            bins_per_octave=design.BINS_PER_OCTAVE,
            center=False,  # a frame starts where it is told: the history is the padding
            verbose=False,
        )
        self._half = int(self.transform.kernel_width) // 2
        self._row = self.latency + self._half + COLUMNS * self.hop
        self._transform = Units("nnAudio", self._transformed, random_rows((self._row,)))
        self.units = [self._transform]

    @property
    def latency(self) -> int:
        """Samples by which the columns of a call lie before its samples: half a kernel."""
        return ceil((self._half - self.hop) / self.hop) * self.hop

    def initial_state(self, batch: int) -> State:
        """State of stations that have heard silence so far; see `RollingCQT.initial_state`."""
        kernels = self.transform.get_buffer("cqt_kernels_real")
        return {"history": kernels.new_zeros(batch, self.latency + self._half)}

    def forward(self, samples: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """Push the next samples of every station; see `RollingCQT.forward`."""
        history = state["history"]
        count = columns_in(samples, history, self.hop)
        if count == 0:
            return samples.new_zeros(len(samples), 0, self.n_bins), {"history": history}
        steps = -(-count // COLUMNS)
        new = nn.functional.pad(samples, (0, (steps * COLUMNS - count) * self.hop))
        signal = torch.cat([history, new], dim=1)
        rows = signal.unfold(1, self._row, COLUMNS * self.hop).flatten(0, 1)
        (columns,) = self._transform(rows)
        columns = columns.view(len(samples), steps * COLUMNS, self.n_bins)[:, :count]
        end = count * self.hop
        kept = signal[:, end : end + history.shape[1]].clone()
        return columns, {"history": kept}

    def _transformed(self, rows: Tensor) -> Tensor:
        """Columns of rows of `COLUMNS` new samples' hops, shape=(n, COLUMNS, n_bins)."""
        # 'wrap' is the scale at which a sine of amplitude 1 has magnitude 1.
        magnitude = self.transform(rows, normalization_type="wrap").transpose(1, 2).contiguous()
        return compress(magnitude, self.compression)
