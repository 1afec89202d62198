"""The default network in the form that is exported: the same function in fewer and cheaper calls.

Batch normalisation, the scale of the columns and the temperature are part of the layers beside
them. Maps and features are innermost in memory, so that a convolution that joins them at one place
is a matrix product, at a third of the cost. What a window's probabilities and those of its moments
share is computed once.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from model.network import WindowNetwork
from model.networks.pooled import Network
from model.spec import WINDOW_COLUMNS

# Libraries multiply fewer than four rows by other instructions, with other last bits.
PADDING = 3


def inference_form(network: WindowNetwork) -> WindowNetwork:
    """Return a trained network as it is exported: `Inference`, or itself if there is none."""
    return Inference(network) if isinstance(network, Network) else network


class Inference(nn.Module):
    """The function of a trained `model.networks.pooled.Network`.

    Parameters
    ----------
    network : Network
        It is not changed; its values are copied.
    """

    tapers: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.context, self.stride = network.context, network.stride
        self.frame_size = network.frame_size
        self.moments, self.around = network.moments, network.around
        self.near = network.frames_to_near.kernel_size[0]
        self.padding = PADDING
        layers = [*folded(network.columns_to_maps), *folded(network.maps_to_frames)]
        first, *separable, bins, last = layers
        # (x - typical) / spread is linear, and the first layer has no padding.
        first.bias -= first.weight.sum(dim=(1, 2, 3)) * network.typical / network.spread
        first.weight /= network.spread
        self.columns_to_maps = first.convolution()
        self.separable = nn.ModuleList(
            _Separable(within, across)
            for within, across in zip(separable[::2], separable[1::2], strict=True)
        )
        self.bins_to_frames = bins.product()
        self.frames_to_frames = last.product()
        self.refine = nn.ModuleList(
            _Residual(*folded(each.get_submodule("layers"))) for each in network.refine
        )
        dense, scores = (
            layer for layer in network.frames_to_scores if isinstance(layer, nn.Linear)
        )
        temperature = network.temperature.double()
        self.frames_to_hidden = product(dense.weight, dense.bias)
        self.hidden_to_scores = product(
            scores.weight.double() / temperature.unsqueeze(1), scores.bias.double() / temperature
        )
        self.frames_to_near = _product_along(network.frames_to_near)
        self.near_to_moments = _product_along(network.near_to_moments)
        self.window_to_moments = product(network.window_to_moments.weight, None)
        self.register_buffer("tapers", _tapers((WINDOW_COLUMNS - self.context) // self.stride + 1))
        self.eval()
        for values in self.parameters():
            values.requires_grad = False

    @torch.jit.export
    def embed(self, columns: Tensor) -> Tensor:
        """Compute frames, as `Network.embed`."""
        maps = torch.relu_(self.columns_to_maps(columns.unsqueeze(1)))
        for layer in self.separable:
            maps = layer(maps)
        places = maps.permute(0, 2, 3, 1).flatten(2)
        frames: Tensor = self.frames_to_frames(torch.relu_(self.bins_to_frames(places)))
        return torch.relu_(frames)

    @torch.jit.export
    def decide(self, frames: Tensor) -> Tensor:
        """Predict the labels of windows, as `Network.decide`; at most 22 frames each."""
        scores = self.scores(self.pooled(self.refined(frames)))
        return _probabilities(scores[: len(frames)])

    @torch.jit.export
    def predict(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Predict the labels of windows and of their moments, as `Network.predict`."""
        refined = self.refined(frames)
        pooled = self.pooled(refined)
        first = (refined.shape[1] - self.moments) // 2 - self.around // 2
        around = refined[:, first : first + self.moments + self.around - 1]
        near = torch.relu_(self.frames_to_near(_rows(around, self.near)))
        moments = self.near_to_moments(_rows(near, self.around - self.near + 1))
        moments = moments + self.window_to_moments(pooled)[: len(frames)].unsqueeze(1)
        scores = self.scores(pooled)[: len(frames)]
        both = _probabilities(torch.cat([scores, moments.flatten(1)], dim=1))
        labels = scores.shape[1]
        return both[:, :labels], both[:, labels:].view(-1, self.moments, labels)

    def scores(self, pooled: Tensor) -> Tensor:
        """Compute the log odds of windows from their pooled frames."""
        scores: Tensor = self.hidden_to_scores(torch.relu_(self.frames_to_hidden(pooled)))
        return scores

    def refined(self, frames: Tensor) -> Tensor:
        """Compute refined frames, as `Network.refined`."""
        for layer in self.refine:
            frames = layer(frames)
        return frames

    def pooled(self, frames: Tensor) -> Tensor:
        """Pool refined frames, as `Network.pooled`, with `PADDING` rows of zeros after them."""
        count = frames.shape[1]
        weights = self.tapers[count - 1, :, :count]
        means = torch.matmul(weights, frames)
        centre, mean = means[:, 0], means[:, 1]
        distances = (frames - centre.unsqueeze(1)).square_()
        spread = torch.matmul(weights[:1], distances).squeeze(1)
        pooled = torch.cat([centre, torch.sqrt(spread + 1e-5), mean, frames.amax(dim=1)], dim=1)
        return nn.functional.pad(pooled, (0, 0, 0, self.padding))


class Layer:
    """A convolution and the batch normalisation after it, as one: in double precision."""

    def __init__(self, layer: nn.Conv1d | nn.Conv2d, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        assert norm.running_var is not None
        assert norm.running_mean is not None
        scale = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
        weight = layer.weight.detach().double()
        if weight.dim() == 3:  # along frames: one bin
            weight = weight.unsqueeze(2)
        self.weight = weight * scale.view(-1, 1, 1, 1)
        self.bias = norm.bias.detach().double() - norm.running_mean.double() * scale
        self.layer = layer

    def convolution(self) -> nn.Conv2d:
        """Return the layer as a convolution with the maps innermost."""
        layer = self.layer
        assert not isinstance(layer.padding, str)
        stride, padding = (1, *layer.stride)[-2:], (0, *layer.padding)[-2:]
        made = nn.Conv2d(
            layer.in_channels, layer.out_channels, (self.weight.shape[2], self.weight.shape[3]),
            stride=(stride[0], stride[1]), padding=(padding[0], padding[1]), groups=layer.groups,
        )  # fmt: skip
        assert made.bias is not None
        made.weight.data.copy_(self.weight)
        made.bias.data.copy_(self.bias)
        return made.to(memory_format=torch.channels_last)

    def product(self) -> nn.Linear:
        """Return the layer as a matrix product over (bins, maps) of one place."""
        return product(self.weight.permute(0, 2, 3, 1).flatten(1), self.bias)


class _Separable(nn.Module):
    """Convolve within each map, then across the maps at every place."""

    def __init__(self, within: Layer, across: Layer) -> None:
        super().__init__()
        self.within = within.convolution()
        self.across = across.product()

    def forward(self, maps: Tensor) -> Tensor:
        places = torch.relu_(self.within(maps)).permute(0, 2, 3, 1)
        return torch.relu_(self.across(places)).permute(0, 3, 1, 2)


class _Residual(nn.Module):
    """Add to each frame what a second around it says."""

    def __init__(self, within: Layer, across: Layer) -> None:
        super().__init__()
        self.within = within.convolution()
        self.across = across.product()

    def forward(self, frames: Tensor) -> Tensor:
        maps = frames.unsqueeze(1).permute(0, 3, 1, 2)
        near = torch.relu_(self.within(maps)).permute(0, 2, 3, 1).squeeze(1)
        return torch.relu_(self.across(near).add_(frames))


def folded(layers: nn.Module) -> Iterator[Layer]:
    """Yield each convolution with the normalisation after it."""
    for layer, norm in pairwise(layers.children()):
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
            yield Layer(layer, norm)


def product(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Return a matrix product with these weights."""
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    made.weight.data.copy_(weight.detach())
    if bias is not None:
        made.bias.data.copy_(bias.detach())
    return made


def _product_along(layer: nn.Conv1d) -> nn.Linear:
    """Return a convolution along frames as a matrix product for `_rows`."""
    return product(layer.weight.transpose(1, 2).flatten(1), layer.bias)


def _rows(values: Tensor, size: int) -> Tensor:
    """Return each `size` consecutive frames of (batch, n, features) as one row."""
    rows = values.unfold(1, size, 1).transpose(2, 3)
    return rows.reshape(rows.shape[0], rows.shape[1], -1)


def _probabilities(scores: Tensor) -> Tensor:
    """Compute the sigmoid of (batch, n), with the same bits in each row.

    Vector instructions take 16 or 32 numbers at once and leave a rest, which is rounded otherwise.
    Rows of whole 32 leave none.
    """
    count = scores.shape[1]
    return torch.sigmoid(nn.functional.pad(scores, (0, -count % 32)))[:, :count]


def _tapers(longest: int) -> Tensor:
    """Return the taper and the plain mean of windows of 1 to `longest` frames, by their length."""
    tapers = torch.zeros(longest, 2, longest)
    for count in range(1, longest + 1):
        weights = torch.hann_window(count + 2, periodic=False)[1:-1]
        tapers[count - 1, 0, :count] = weights / weights.sum()
        tapers[count - 1, 1, :count] = 1 / count
    return tapers
