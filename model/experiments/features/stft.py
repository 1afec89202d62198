"""Magnitudes of the short-time Fourier transform, by torchaudio."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.experiments.features.base import HOP, WINDOW, Feature
from model.frontend.compression import compress
from model.spec import COMPRESSION, SAMPLE_RATE

# The report has 700 bins for every length of the window, so the windows were padded to one length.
# 1400 gives bins of 11.4 Hz from 0 Hz to 8 kHz, without the one at 8 kHz.
N_FFT, BINS = 1400, 700

# Experiment 1: frames of 10 ms, and 369 bins of a transform that has just room for 80 ms. They end
# at 4.6 kHz, above the third formant of any voice.
VOICE_WINDOW, VOICE_HOP, VOICE_FRAMES = 2400, 160, 15
VOICE_N_FFT, VOICE_BINS = 1280, 369
RESOLUTIONS_MS = (20, 40, 80)


class STFT(Feature):
    """Compressed magnitudes at one resolution (Tables 4.2 and 4.6).

    Parameters
    ----------
    window_ms : int
        20, 40 or 80. The hop is proportional: 11.6, 23.25 or 46.5 ms.
    """

    def __init__(self, window_ms: int) -> None:
        hop = HOP * window_ms // RESOLUTIONS_MS[0]
        super().__init__(f"stft-{window_ms}", (1, 1 + WINDOW // hop, BINS))
        self.transform = _magnitudes(window_ms, N_FFT, hop, centred=True)

    def compute(self, windows: Tensor) -> Tensor:
        magnitudes: Tensor = self.transform(windows)[:, :BINS]
        return compress(magnitudes, COMPRESSION).transpose(1, 2).unsqueeze(1)


class Resolutions(Feature):
    """Compressed magnitudes at 20, 40 and 80 ms as three channels of 150 ms (experiment 1)."""

    def __init__(self) -> None:
        shape = (len(RESOLUTIONS_MS), VOICE_FRAMES, VOICE_BINS)
        super().__init__("resolutions", shape, VOICE_WINDOW)
        self.transforms = nn.ModuleList(
            _magnitudes(each, VOICE_N_FFT, VOICE_HOP, centred=False) for each in RESOLUTIONS_MS
        )

    def compute(self, windows: Tensor) -> Tensor:
        # So that the centre of each frame is the centre of its 10 ms.
        around = (VOICE_N_FFT - VOICE_HOP) // 2
        padded = nn.functional.pad(windows, (around, around))
        channels = [transform(padded)[:, :VOICE_BINS] for transform in self.transforms]
        return compress(torch.stack(channels, dim=1), COMPRESSION).transpose(2, 3)


def _magnitudes(window_ms: int, n_fft: int, hop: int, *, centred: bool) -> nn.Module:
    """Return a transform in which a sine of amplitude 1 has magnitude 1."""
    from torchaudio.transforms import Spectrogram

    length = window_ms * SAMPLE_RATE // 1000
    transform: nn.Module = Spectrogram(
        n_fft, win_length=length, hop_length=hop, power=1.0, center=centred, pad_mode="constant"
    )
    window = transform.get_buffer("window")
    window *= 2.0 / window.sum()
    return transform
