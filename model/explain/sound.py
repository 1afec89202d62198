"""Audio from the magnitudes of a constant-Q transform: Griffin and Lim's iteration (1984).

The transform of the networks has one column each 20 or 23 ms, and the kernels of its highest bins
are 7 ms long: between two columns it does not see them. So magnitudes are interpolated to
`OVERSAMPLED` times as many columns, at which the transform has an inverse.

Both directions are computed in the frequency domain. A bin is a band of the spectrum: multiplied
by the spectrum of its kernel, folded to as many coefficients as there are columns, and transformed
back. The inverse divides the adjoint by the power of all kernels at each frequency, which is exact
where bands are not folded onto themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from model.frontend.kernels import Q, bin_frequencies
from model.spec import N_BINS, SAMPLE_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

OVERSAMPLED = 16
ITERATIONS = 48
MOMENTUM = 0.99  # of the fast form of Perraudin, Balazs and Sondergaard (2013)
_FLOOR = 1e-3  # of a kernel's spectrum, below which it counts as 0
_SILENT = 1e-3  # of the power of all kernels, below which a frequency is left out


class ConstantQ:
    """The transform and its inverse for windows of one length.

    Parameters
    ----------
    hop : int > 0
        Samples between two columns.
    columns : int > 0
        Columns of a window; column c is centred on sample ``c * hop``.
    oversampled : int > 0
        Columns of the complex transform for each one of the window.

    Attributes
    ----------
    size : int
        Samples of the circular signal: the window, and silence for the longest kernel.
    """

    def __init__(self, hop: int, columns: int, oversampled: int = OVERSAMPLED) -> None:
        lengths = np.ceil(Q * SAMPLE_RATE / bin_frequencies())
        whole = columns + int(lengths.max()) // hop + 1
        self.hop, self.columns, self.oversampled = hop, columns, oversampled
        self.size, self._count = whole * hop, whole * oversampled
        rows, places, values = [], [], []
        for number, (length, hertz) in enumerate(zip(lengths, bin_frequencies(), strict=True)):
            band = _spectrum(int(length), float(hertz), self.size)
            there = np.flatnonzero(np.abs(band) > _FLOOR * np.abs(band).max())
            rows.append(np.full(len(there), number))
            places.append(there)
            values.append(band[there])
        self._places = torch.from_numpy(np.concatenate(places))
        self._folded = torch.from_numpy(
            np.concatenate(rows) * self._count + self._places.numpy() % self._count
        )
        self._kernels = torch.from_numpy(np.concatenate(values).astype(np.complex64))
        power = torch.zeros(self.size // 2 + 1)
        power.index_add_(0, self._places, self._kernels.abs().square())
        scale = self._count / self.size
        self._weights = 1 / (scale * power.clamp_min(_SILENT * float(power.max())))

    def forward(self, samples: Tensor) -> Tensor:
        """Return the complex columns of a circular signal.

        Parameters
        ----------
        samples : torch.Tensor [shape=(size,)]
            As `inverse` returns them.

        Returns
        -------
        torch.Tensor [shape=(N_BINS, n), complex64]
            `oversampled` columns for each hop. A sine of amplitude 1 has magnitude 1.
        """
        spectrum = torch.fft.rfft(samples)
        folded = torch.zeros(N_BINS * self._count, dtype=torch.complex64)
        folded.index_add_(0, self._folded, spectrum[self._places] * self._kernels)
        scale = self._count / self.size
        columns: Tensor = torch.fft.ifft(folded.view(N_BINS, self._count)) * scale
        return columns

    def inverse(self, columns: Tensor) -> Tensor:
        """Return the circular signal [shape=(size,)] of complex columns."""
        bands = torch.fft.fft(columns).flatten()[self._folded] * self._kernels.conj()
        spectrum = torch.zeros(self.size // 2 + 1, dtype=torch.complex64)
        spectrum.index_add_(0, self._places, bands)
        samples: Tensor = torch.fft.irfft(spectrum * self._weights, n=self.size)
        return samples

    def between(self, magnitudes: Tensor) -> Tensor:
        """Interpolate magnitudes [shape=(columns, N_BINS)] to (N_BINS, n); silence follows them."""
        whole = self.size // self.hop
        before = torch.nn.functional.pad(magnitudes.T, (0, whole - self.columns))
        after = before.roll(-1, dims=1)
        share = torch.arange(self.oversampled) / self.oversampled
        return (before[..., None] * (1 - share) + after[..., None] * share).flatten(1)


def griffin_lim(
    transform: ConstantQ, magnitudes: Tensor, iterations: int = ITERATIONS, seed: int = 0
) -> Tensor:
    """Return a signal whose transform has about these magnitudes.

    Parameters
    ----------
    transform : ConstantQ
        Of the window.
    magnitudes : torch.Tensor [shape=(columns, N_BINS), float32]
        Not compressed, at least 0.
    iterations : int > 0
        Each finds the nearest transform of a signal, and gives it the magnitudes.
    seed : int
        Of the phases at the beginning.

    Returns
    -------
    torch.Tensor [shape=(columns * hop,)]
    """
    wanted = transform.between(magnitudes.float())
    generator = torch.Generator().manual_seed(seed)
    phases = torch.rand(wanted.shape, generator=generator) * (2 * torch.pi)
    columns = torch.polar(wanted, phases)
    before = torch.zeros_like(columns)
    for _ in range(iterations):
        nearest = transform.forward(transform.inverse(columns))
        moved = nearest + MOMENTUM * (nearest - before)
        columns = wanted * torch.sgn(moved)
        before = nearest
    return transform.inverse(columns)[: transform.columns * transform.hop]


def convergence(wanted: Tensor, found: Tensor) -> float:
    """Return the spectral convergence of magnitudes: 0 for equal ones, 1 for silence."""
    return float(torch.linalg.vector_norm(wanted - found) / torch.linalg.vector_norm(wanted))


def _spectrum(length: int, hertz: float, size: int) -> NDArray[np.complex128]:
    """Return the spectrum of one kernel at positive frequencies, centred on sample 0."""
    reach = length // 2
    n = np.arange(-reach, reach + 1)
    taper = np.where(np.abs(n) < length / 2, 0.5 + 0.5 * np.cos(2 * np.pi * n / length), 0.0)
    tone = np.exp(2j * np.pi * hertz / SAMPLE_RATE * n)
    kernel = np.zeros(size, complex)
    kernel[n] = taper * tone * (4.0 / length)
    found: NDArray[np.complex128] = np.fft.fft(kernel)[: size // 2 + 1]
    return found
