"""nnAudio's CQT1992v2 as a front end: the reference for `RollingCQT`.

It multiplies the signal with one dense kernel of 8192 samples for each bin, which costs about
twenty times more on a CPU. Use it to check a result, or on a GPU.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from model.frontend.base import (
    ROW_COLUMNS,
    State,
    columns_in,
)
from model.frontend.compression import checked_compression, compress
from model.spec import BINS_PER_OCTAVE, COMPRESSION, FMIN_HZ, HOP, N_BINS, SAMPLE_RATE
from model.tensors import tensor_units
from model.units import random_rows

if TYPE_CHECKING:
    from collections.abc import Mapping


class NnAudioCQT(nn.Module):
    """The columns of `model.frontend.rolling_cqt.RollingCQT`, computed by nnAudio.

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
        # Slow to import.
        from nnAudio.features.cqt import CQT1992v2

        self.compression = checked_compression(compression)
        self.sample_rate = SAMPLE_RATE
        self.hop = HOP
        self.n_bins = N_BINS
        self.bins_per_octave = BINS_PER_OCTAVE
        self.fmin_hz = FMIN_HZ
        self.transform = CQT1992v2(
            sr=SAMPLE_RATE,
            hop_length=HOP,
            fmin=FMIN_HZ,
            n_bins=N_BINS,
            bins_per_octave=BINS_PER_OCTAVE,
            center=False,  # the history is the padding
            verbose=False,
        )
        self._half = int(self.transform.kernel_width) // 2
        self._row = self.latency + self._half + ROW_COLUMNS * self.hop
        self._transform = tensor_units("nnAudio", self._transformed, random_rows((self._row,)))
        self.units = [self._transform]

    @property
    def latency(self) -> int:
        """Samples by which the columns of a call lie before its samples: half a kernel."""
        return ceil((self._half - self.hop) / self.hop) * self.hop

    def initial_state(self, batch: int) -> State:
        """Return the state of stations after silence; see `RollingCQT.initial_state`."""
        kernels = self.transform.get_buffer("cqt_kernels_real")
        return {"history": kernels.new_zeros(batch, self.latency + self._half)}

    def forward(self, samples: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """Push the next samples of every station; see `RollingCQT.forward`."""
        history = state["history"]
        count = columns_in(samples, history, self.hop)
        if count == 0:
            return samples.new_zeros(len(samples), 0, self.n_bins), {"history": history}
        steps = -(-count // ROW_COLUMNS)
        new = nn.functional.pad(samples, (0, (steps * ROW_COLUMNS - count) * self.hop))
        signal = torch.cat([history, new], dim=1)
        rows = signal.unfold(1, self._row, ROW_COLUMNS * self.hop).flatten(0, 1)
        (columns,) = self._transform(rows)
        columns = columns.view(len(samples), steps * ROW_COLUMNS, self.n_bins)[:, :count]
        end = count * self.hop
        tail = signal[:, end : end + history.shape[1]].clone()
        return columns, {"history": tail}

    def _transformed(self, rows: Tensor) -> Tensor:
        """Compute the columns of rows, shape=(n, ROW_COLUMNS, n_bins)."""
        # With 'wrap' a sine of amplitude 1 has magnitude 1.
        magnitude = self.transform(rows, normalization_type="wrap").transpose(1, 2).contiguous()
        return compress(magnitude, self.compression)
