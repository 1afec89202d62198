"""The networks that can be trained, by name; docs/networks.md compares them.

All have the methods of `model.networks.pooled.Network`: `embed` turns columns into frames, and
`decide` predicts from the frames of a window. They differ in what a frame is. Only `pooled` has a
boundary head (`predict`); the others have `moments` 0.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from airsift.errors import ConfigError
from model.networks.pooled import COLUMN_SPREAD, TYPICAL_COLUMN, Network
from model.spec import N_BINS, STEP_COLUMNS, WINDOW_COLUMNS


class Assembled(nn.Module):
    """A network of two parts: columns to frames, and frames to log odds.

    Parameters
    ----------
    columns_to_frames : nn.Module
        From scaled columns (batch, t, bins) to frames (batch, n, frame_size).
    frames_to_scores : nn.Module
        From the frames of windows to log odds (batch, labels).
    context, stride : int > 0
        Columns that a frame depends on, and distance between frames.
    frame_size, labels : int > 0
        Features of a frame, and independent outputs.
    """

    temperature: Tensor

    def __init__(
        self,
        columns_to_frames: nn.Module,
        frames_to_scores: nn.Module,
        *,
        context: int,
        stride: int,
        frame_size: int,
        labels: int,
    ) -> None:
        super().__init__()
        self.typical = TYPICAL_COLUMN
        self.spread = COLUMN_SPREAD
        self.context = context
        self.stride = stride
        self.frame_size = frame_size
        self.moments = 0
        self.columns_to_frames = columns_to_frames
        self.frames_to_scores = frames_to_scores
        # Calibration, fitted to the validation windows after training.
        self.register_buffer("temperature", torch.ones(labels))

    @torch.jit.export
    def embed(self, columns: Tensor) -> Tensor:
        """Compute frames [shape=(batch, (t - context) // stride + 1, frame_size)]."""
        frames: Tensor = self.columns_to_frames((columns - self.typical) / self.spread)
        return frames

    @torch.jit.export
    def scores(self, frames: Tensor) -> Tensor:
        """Compute the log odds of windows [shape=(batch, labels)]."""
        scores: Tensor = self.frames_to_scores(frames)
        return scores / self.temperature

    @torch.jit.export
    def decide(self, frames: Tensor) -> Tensor:
        """Compute independent probabilities of windows [shape=(batch, labels)]."""
        return torch.sigmoid(self.scores(frames))

    def forward(self, columns: Tensor) -> Tensor:
        """Compute the log odds of windows [shape=(batch, t, n_bins)], for training."""
        return self.scores(self.embed(columns))


class Slim(nn.Module):
    """The first layers of the pooled network, with longer strides and fewer maps."""

    def __init__(self, maps: tuple[int, int], frame_size: int) -> None:
        super().__init__()
        first, second = maps
        bins = ((N_BINS - 9) // 3 + 1 - 5) // 2 + 1
        depthwise = nn.Conv2d(first, first, (3, 5), stride=(1, 2), groups=first, bias=False)
        self.layers = nn.Sequential(
            *convolution(1, first, (5, 9), (5, 3)),
            depthwise, nn.BatchNorm2d(first), nn.ReLU(),
            *convolution(first, second, (1, 1), (1, 1)),
            *convolution(second, frame_size, (1, bins), (1, 1)),
            *convolution(frame_size, frame_size, (1, 1), (1, 1)),
        )  # fmt: skip
        self.to(memory_format=torch.channels_last)

    def forward(self, columns: Tensor) -> Tensor:
        frames: Tensor = self.layers(columns.unsqueeze(1)).squeeze(3).transpose(1, 2)
        return frames


class Report2015(nn.Module):
    """The network of experiments 7 and 8 of the 2015 report; a frame is a whole window.

    The kernels of the first layer lie along frequency (3 octaves by 0.23 s), of the second along
    time (0.5 s); the third and fourth are square. Pooling alternates frequency and time.
    """

    def __init__(self, maps: int, frame_size: int) -> None:
        super().__init__()
        self.window, self.step = WINDOW_COLUMNS, STEP_COLUMNS
        self.layers = nn.Sequential(
            nn.Conv2d(1, maps, (12, 72)), nn.ReLU(), nn.MaxPool2d((1, 4)),
            nn.Conv2d(maps, maps, (25, 1)), nn.ReLU(), nn.MaxPool2d((4, 1)),
            nn.Conv2d(maps, maps, 5), nn.ReLU(), nn.MaxPool2d((1, 2)),
            nn.Conv2d(maps, maps, 5), nn.ReLU(), nn.MaxPool2d((4, 1)),
            nn.Flatten(), nn.Linear(maps * 11 * 3, frame_size), nn.ReLU(),
        )  # fmt: skip

    def forward(self, columns: Tensor) -> Tensor:
        windows = columns.unfold(1, self.window, self.step).transpose(2, 3)
        count = windows.shape[1]
        flat = windows.flatten(0, 1).unsqueeze(1)
        frames: Tensor = self.layers(flat).view(columns.shape[0], count, -1)
        return frames


class Softmax(nn.Module):
    """Two exclusive classes: opposite log odds."""

    def __init__(self, frame_size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(frame_size, 2)

    def forward(self, frames: Tensor) -> Tensor:
        scores: Tensor = self.dense(frames.mean(dim=1))
        return scores - scores.flip(1)


class Attentive(nn.Module):
    """Attention pooling: weighted mean and standard deviation of the frames, and plain mean."""

    def __init__(self, frame_size: int, labels: int) -> None:
        super().__init__()
        self.weight = nn.Linear(frame_size, 1)
        self.dense = nn.Sequential(
            nn.Linear(3 * frame_size, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, labels)
        )

    def forward(self, frames: Tensor) -> Tensor:
        weights = torch.softmax(self.weight(frames), dim=1)
        centre = (frames * weights).sum(dim=1)
        spread = ((frames - centre.unsqueeze(1)).square() * weights).sum(dim=1)
        pooled = torch.cat([centre, torch.sqrt(spread + 1e-5), frames.mean(dim=1)], dim=1)
        scores: Tensor = self.dense(pooled)
        return scores


def make(name: str, labels: int) -> Any:
    """Make an untrained network.

    Parameters
    ----------
    name : str
        One of `PRESETS`.
    labels : int > 0
        Independent outputs.

    Raises
    ------
    ConfigError
        The name is unknown, or the network cannot have this number of outputs.
    """
    if name not in PRESETS:
        raise ConfigError(f"network={name!r} is unknown: use one of {', '.join(PRESETS)}")
    return PRESETS[name](labels)


def _slim(labels: int) -> Assembled:
    return Assembled(
        Slim((8, 16), 48), Attentive(48, labels),
        context=15, stride=5, frame_size=48, labels=labels,
    )  # fmt: skip


def _report2015(labels: int, *, softmax: bool) -> Assembled:
    if softmax and labels != 2:
        raise ConfigError(
            f"network='report2015-softmax' has two outputs, not {labels}: use report2015"
        )
    head = Softmax(100) if softmax else Attentive(100, labels)
    return Assembled(
        Report2015(20, 100), head,
        context=WINDOW_COLUMNS, stride=STEP_COLUMNS, frame_size=100, labels=labels,
    )  # fmt: skip


def convolution(
    before: int, after: int, size: tuple[int, int], stride: tuple[int, int]
) -> list[nn.Module]:
    """Return a convolution without bias, batch normalisation and ReLU."""
    return [
        nn.Conv2d(before, after, size, stride=stride, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    ]


PRESETS: dict[str, Callable[[int], Any]] = {
    "pooled": lambda labels: Network(labels=labels),
    "slim": _slim,
    "report2015": partial(_report2015, softmax=False),
    "report2015-softmax": partial(_report2015, softmax=True),
}
