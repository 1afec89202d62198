"""Networks that docs/networks.md compares with those of `model.networks.presets`, as baselines."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from model.networks.pooled import Network
from model.networks.presets import Assembled, Attentive, convolution
from model.spec import N_BINS


class SampledColumns(nn.Module):
    """One column in `stride`, through two layers along its bins and two across them.

    The layers are matrix products: for this little work, the call of a convolution costs more
    than its arithmetic.
    """

    def __init__(self, stride: int, maps: tuple[int, int], frame_size: int) -> None:
        super().__init__()
        first, second = maps
        self.stride = stride
        self.offset = stride // 2
        self.first = first
        self.bins = (N_BINS - 9) // 3 + 1
        self.near = _dense(9, first)
        self.wide = _dense(5 * first, second)
        self.across = nn.Sequential(
            *_dense(((self.bins - 5) // 2 + 1) * second, frame_size),
            *_dense(frame_size, frame_size),
        )

    def forward(self, columns: Tensor) -> Tensor:
        count = columns.shape[1] // self.stride
        batch = columns.shape[0]
        sampled = columns[:, self.offset : self.offset + self.stride * count : self.stride]
        near = self.near(sampled.unfold(2, 9, 3).flatten(0, 2)).view(
            batch * count, self.bins * self.first
        )
        wide = self.wide(near.unfold(1, 5 * self.first, 2 * self.first).flatten(0, 1))
        frames: Tensor = self.across(wide.view(batch * count, -1)).view(batch, count, -1)
        return frames


class Plain(nn.Module):
    """Two ordinary convolutions, and one over all bins."""

    def __init__(self, maps: tuple[int, int], frame_size: int) -> None:
        super().__init__()
        first, second = maps
        bins = ((N_BINS - 9) // 3 + 1 - 5) // 2 + 1
        self.layers = nn.Sequential(
            *convolution(1, first, (5, 9), (5, 3)),
            *convolution(first, second, (3, 5), (1, 2)),
            *convolution(second, frame_size, (1, bins), (1, 1)),
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, columns: Tensor) -> Tensor:
        frames: Tensor = self.layers(columns.unsqueeze(1)).squeeze(3).transpose(1, 2)
        return frames


def _sampled(labels: int) -> Assembled:
    return Assembled(
        SampledColumns(10, (12, 24), 64), Attentive(64, labels),
        context=10, stride=10, frame_size=64, labels=labels,
    )  # fmt: skip


def _plain(labels: int) -> Assembled:
    return Assembled(
        Plain((12, 32), 64), Attentive(64, labels),
        context=15, stride=5, frame_size=64, labels=labels,
    )  # fmt: skip


def _dense(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU())


BASELINES: dict[str, Callable[[int], Any]] = {
    "pooled-small": lambda labels: Network(labels=labels, maps=(8, 16, 32, 48), frame_size=64),
    "pooled-tiny": lambda labels: Network(labels=labels, maps=(6, 12, 24, 32), frame_size=48),
    "plain": _plain,
    "sampled": _sampled,
}
