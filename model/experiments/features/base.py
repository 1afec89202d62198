"""What all features share: the check of a window, its shape, and scales of magnitudes."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from airsift.errors import ConfigError
from model.spec import SAMPLE_RATE

Shape = tuple[int, int, int]

WINDOW = 5 * SAMPLE_RATE  # samples
# A window has 431, 216 or 108 frames in the report, which says "10 ms" for the first. Centred
# frames of a window of 5 s are that many at 11.6, 23.25 and 46.5 ms, and at no round number of ms.
HOP = 186


class Feature(nn.Module, ABC):
    """From windows of samples to (channels, frames, bins).

    Parameters
    ----------
    name : str
        As it is written in the files of experiments.
    shape : tuple of int
        Channels, frames and bins.
    samples : int > 0
        Samples of a window at 16 kHz.
    """

    def __init__(self, name: str, shape: Shape, samples: int = WINDOW) -> None:
        super().__init__()
        self.name, self.shape, self.samples = name, shape, samples

    @abstractmethod
    def compute(self, windows: Tensor) -> Tensor:
        """Compute the feature of checked windows; see `forward`."""

    def forward(self, windows: Tensor) -> Tensor:
        """Compute the feature of windows, each on its own.

        Parameters
        ----------
        windows : torch.Tensor [shape=(batch, samples)]
            Mono at 16 kHz, in [-1, 1].

        Returns
        -------
        torch.Tensor [shape=(batch, channels, frames, bins)]

        Raises
        ------
        ConfigError
            The windows have another length.
        """
        if windows.ndim != 2 or windows.shape[1] != self.samples:
            raise ConfigError(
                f"windows of shape {tuple(windows.shape)} for the feature {self.name}: they must "
                f"be (batch, {self.samples}), {self.samples / SAMPLE_RATE:g} s at {SAMPLE_RATE} Hz"
            )
        with torch.no_grad():
            values = self.compute(windows)
        assert values.shape[1:] == self.shape, (self.name, tuple(values.shape))
        return values

    @property
    def code(self) -> tuple[str, ...]:
        """The modules that compute it, without those that they import."""
        return (type(self).__module__,)

    @property
    def input_bytes(self) -> int:
        """Bytes of one input of a network, as float32."""
        channels, frames, bins = self.shape
        return 4 * channels * frames * bins
