"""The teacher: a tagger of AudioSet's 527 classes, whose probabilities a training can learn from.

EfficientAT's MobileNetV3 of width 0.4 (F. Schmid, K. Koutini, G. Widmer, "Efficient large-scale
audio tagging via transformer-to-CNN knowledge distillation", ICASSP 2023). Its weights are not part
of airsift: the user names the folder of its files, which are refused unless they are the published
ones.

The teacher processes a take in chunks of 10 s, the length that it was trained on, of which the
middle half is used. Its features are averaged over the 5 s around each row, so that a row has the
length of a window of the network that learns.
"""

from __future__ import annotations

import csv
import hashlib
import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torchaudio
from torch import nn
from torch.nn import functional as F  # noqa: N812 - torch's own convention
from torch.nn.utils.fusion import fuse_conv_bn_eval

from airsift.errors import ConfigError
from model.spec import HOP as SAMPLES_OF_COLUMN
from model.spec import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

SHA256 = "899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c"
CLASSES_SHA256 = "cdd1049833c4b86127c2773ac0d14a2754b6a6d0d1798002ed5c66e699708429"
FILE = "mn04_as_mAP_432.pt"
CLASSES = "class_labels_indices.csv"
CLASSES_COUNT = 527
RATE = 32_000
HOP = 320
# Samples between rows of `tags`: half a second at 16 kHz.
ROW = 8000
ROW_COLUMNS = ROW // SAMPLES_OF_COLUMN
WINDOW_S = 5.0
# Outputs that mean music; singing is music.
MUSIC = ("Music", "Singing", "Rapping")
SPEECH = ("Speech",)
# Frames of features are 32 columns of 10 ms apart.
_FRAME_S = 0.32
_CHUNK_FRAMES = 32
_CHUNK = round(_CHUNK_FRAMES * _FRAME_S * RATE)
_WINDOW, _FFT, _MELS = 800, 1024, 128
_TOP_HZ = 15_000.0
_EPS = 1e-3


class _Block(NamedTuple):
    kernel: int
    hidden: int
    out: int
    stride: int
    squeezed: int  # channels within squeeze-and-excitation; 0 without one
    smooth: bool  # hardswish instead of ReLU


_STEM = 8
_BLOCKS = (
    _Block(3, 8, 8, 1, 0, False),
    _Block(3, 24, 16, 2, 0, False),
    _Block(3, 32, 16, 1, 0, False),
    _Block(5, 32, 16, 2, 8, False),
    _Block(5, 48, 16, 1, 16, False),
    _Block(5, 48, 16, 1, 16, False),
    _Block(3, 96, 32, 2, 0, True),
    _Block(3, 80, 32, 1, 0, True),
    _Block(3, 72, 32, 1, 0, True),
    _Block(3, 72, 32, 1, 0, True),
    _Block(3, 192, 48, 1, 48, True),
    _Block(3, 272, 48, 1, 72, True),
    _Block(5, 272, 64, 2, 72, True),
    _Block(5, 384, 64, 1, 96, True),
    _Block(5, 384, 64, 1, 96, True),
)


def _convolution(
    into: int, out: int, kernel: int, activation: type[nn.Module], stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(into, out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out, eps=_EPS),
        activation(),
    )


class _SqueezeExcitation(nn.Module):
    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, squeezed)
        self.fc2 = nn.Linear(squeezed, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3))))))
        return x * gate[:, :, None, None]


class _Residual(nn.Module):
    def __init__(self, into: int, spec: _Block) -> None:
        super().__init__()
        activation = nn.Hardswish if spec.smooth else nn.ReLU
        layers: list[nn.Module] = []
        if spec.hidden != into:
            layers.append(_convolution(into, spec.hidden, 1, activation))
        layers.append(
            _convolution(
                spec.hidden, spec.hidden, spec.kernel, activation, spec.stride, spec.hidden
            )
        )
        if spec.squeezed:
            layers.append(_SqueezeExcitation(spec.hidden, spec.squeezed))
        layers.append(_convolution(spec.hidden, spec.out, 1, nn.Identity))
        self.block = nn.Sequential(*layers)
        self.adds = spec.stride == 1 and into == spec.out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.block(x)
        return x + y if self.adds else y


class Teacher(nn.Module):
    """The tagger, for audio of any number of samples.

    Parameters
    ----------
    state : mapping of str to torch.Tensor
        What the published file holds.
    names : list of str
        The classes, in the order of the outputs.
    """

    mel: torch.Tensor
    window: torch.Tensor

    def __init__(self, state: Mapping[str, torch.Tensor], names: list[str]) -> None:
        super().__init__()
        self.names = names
        layers: list[nn.Module] = [_convolution(1, _STEM, 3, nn.Hardswish, 2)]
        width = _STEM
        for spec in _BLOCKS:
            layers.append(_Residual(width, spec))
            width = spec.out
        layers.append(_convolution(width, 6 * width, 1, nn.Hardswish))
        self.features = nn.Sequential(*layers)
        self.hidden = nn.Linear(6 * width, 512)
        self.out = nn.Linear(512, len(names))
        own = {
            name.replace(".conc_se_layers.0", "")
            .replace("classifier.2.", "hidden.")
            .replace("classifier.5.", "out."): tensor
            for name, tensor in state.items()
        }
        self.load_state_dict(own)
        mel, _ = torchaudio.compliance.kaldi.get_mel_banks(
            _MELS, _FFT, RATE, 0.0, _TOP_HZ, 100.0, -500.0, 1.0
        )
        self.register_buffer("mel", F.pad(mel, (0, 1)).T.contiguous(), persistent=False)
        window = torch.hann_window(_WINDOW, periodic=False)
        self.register_buffer("window", window, persistent=False)
        self.eval()
        for module in self.modules():
            # The arithmetic of an evaluated batch normalisation is part of the convolution.
            if isinstance(module, nn.Sequential):
                first, second = module[0], module[1]
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    module[0] = fuse_conv_bn_eval(first, second)
                    module[1] = nn.Identity()
        # Convolutions run 1.7 times as fast with the channels innermost.
        self.to(memory_format=torch.channels_last)

    def bands(self, samples: torch.Tensor) -> torch.Tensor:
        """Return the network's input.

        Parameters
        ----------
        samples : torch.Tensor [shape=(batch, n), float32]
            At `RATE`; full scale is +-1.

        Returns
        -------
        torch.Tensor [shape=(batch, 1, 128, frames)]
        """
        emphasised = samples[:, 1:] - 0.97 * samples[:, :-1]
        spectrum = torch.stft(
            emphasised, _FFT, HOP, _WINDOW, self.window, center=True, return_complex=True
        )
        power = spectrum.abs().square().transpose(1, 2)
        bands = torch.log(power @ self.mel + 1e-5)
        scaled = ((bands + 4.5) / 5.0).transpose(1, 2)[:, None]
        return scaled.contiguous(memory_format=torch.channels_last)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Return the log odds of all classes.

        Parameters
        ----------
        samples : torch.Tensor [shape=(batch, n), float32]
            At `RATE`; full scale is +-1.

        Returns
        -------
        torch.Tensor [shape=(batch, 527)]
        """
        return self.classify(self.features(self.bands(samples)).mean((2, 3)))

    def classify(self, pooled: torch.Tensor) -> torch.Tensor:
        """Return the log odds of all classes from averaged features [shape=(n, 384)]."""
        log_odds: torch.Tensor = self.out(F.hardswish(self.hidden(pooled)))
        return log_odds

    def tags(self, samples: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the probabilities of all classes every half second.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,), float32]
            Mono at 16 kHz.

        Returns
        -------
        np.ndarray [shape=(ceil(n / ROW), 527), uint8]
            Probabilities times 255. Row i is of the 5 s around ``(i + 0.5) * ROW``, or of the part
            of them that is inside the samples.
        """
        count = -(-len(samples) // ROW)
        with torch.inference_mode():
            frames = self._frames(upsampled(torch.from_numpy(samples)[None])[0])
            sums = F.pad(frames.cumsum(0), (0, 0, 1, 0))
            total = max(1, min(len(frames), round(len(samples) / SAMPLE_RATE / _FRAME_S)))
            centre = (torch.arange(count) + 0.5) * (ROW / SAMPLE_RATE)
            first = ((centre - WINDOW_S / 2) / _FRAME_S).round().long().clamp(0, total - 1)
            last = ((centre + WINDOW_S / 2) / _FRAME_S).round().long().clamp(max=total)
            last = torch.maximum(last, first + 1)
            pooled = (sums[last] - sums[first]) / (last - first)[:, None]
            odds = torch.sigmoid(self.classify(pooled))
        rounded: NDArray[np.uint8] = (odds * 255.0).round().byte().numpy()
        return rounded

    def _frames(self, samples: torch.Tensor) -> torch.Tensor:
        """Return features every 0.32 s [shape=(n, 384)], each from the middle of a chunk."""
        half = _CHUNK // 2
        chunks = max(1, -(-(len(samples) - half) // half))
        padded = F.pad(samples, (0, (chunks + 1) * half - len(samples) + 1))
        parts = padded.unfold(0, _CHUNK + 1, half)[:chunks]
        found = []
        for some in torch.split(parts, 8):
            maps = self.features(self.bands(some)[..., : _CHUNK_FRAMES * 32])
            found.append(maps.mean(2).transpose(1, 2))
        frames = torch.cat(found)
        edge = _CHUNK_FRAMES // 4
        middle = frames[:, edge : edge + 2 * edge].flatten(0, 1)
        return torch.cat([frames[0, :edge], middle, frames[-1, -edge:]])


def upsampled(samples: torch.Tensor) -> torch.Tensor:
    """Resample from 16 kHz to `RATE`, with the filter of the teacher's reference outputs."""
    resampled: torch.Tensor = torchaudio.functional.resample(
        samples, SAMPLE_RATE, RATE, lowpass_filter_width=64, rolloff=0.9475937167399596,
        resampling_method="sinc_interp_kaiser", beta=14.769656459379492,
    )  # fmt: skip
    return resampled


def probability(
    tags: NDArray[np.uint8], names: Sequence[str], wanted: Sequence[str]
) -> NDArray[np.float32]:
    """Return the largest probability of some classes [shape=(n,)] from rows of `tags`."""
    places = [names.index(name) for name in wanted]
    largest: NDArray[np.float32] = tags[:, places].max(axis=1).astype(np.float32) / 255.0
    return largest


@lru_cache(maxsize=1)
def load_teacher(folder: Path) -> Teacher:
    """Load the published weights and names of classes from a folder.

    Raises
    ------
    ConfigError
        A file is missing, or differs from the published one.
    """
    weights, classes = (
        _published(folder / name, sha256)
        for name, sha256 in ((FILE, SHA256), (CLASSES, CLASSES_SHA256))
    )
    rows = csv.DictReader(io.StringIO(classes.decode()))
    state = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    return Teacher(state, [row["display_name"] for row in rows])


def _published(file: Path, sha256: str) -> bytes:
    """Read a file of the teacher, if it is the published one."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{file.parent}: holds no teacher, {FILE} and {CLASSES}: {error}"
        ) from None
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ConfigError(f"{file}: its SHA-256 is {found}, not {sha256}: get the published file")
    return data
