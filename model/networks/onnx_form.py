"""The default network in the form that onnxruntime runs fastest: convolutions with maps first.

onnxruntime reorders the maps of convolutions for the processor's vectors, and a chain of them then
needs no other layout. So the layers along frames are convolutions in two dimensions too, and batch
normalisation, the scale of the columns and the temperature are part of the layers beside them.
"""

import torch
from torch import Tensor, nn

from model.network import WindowNetwork
from model.networks.inference import Layer, folded, product
from model.networks.pooled import Network


def onnx_form(network: WindowNetwork) -> WindowNetwork:
    """Return a trained network as it is exported: `OnnxForm`, or itself if there is none."""
    return OnnxForm(network) if isinstance(network, Network) else network


class OnnxForm(nn.Module):
    """The function of a trained `model.networks.pooled.Network`.

    Parameters
    ----------
    network : Network
        It is not changed; its values are copied.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.context, self.stride = network.context, network.stride
        self.frame_size = network.frame_size
        self.moments, self.around = network.moments, network.around
        layers = [*folded(network.columns_to_maps), *folded(network.maps_to_frames)]
        # (x - typical) / spread is linear, and the first layer has no padding.
        layers[0].bias -= layers[0].weight.sum(dim=(1, 2, 3)) * network.typical / network.spread
        layers[0].weight /= network.spread
        self.columns_to_frames = nn.Sequential(
            *(each for layer in layers for each in (layer.convolution(), nn.ReLU()))
        )
        self.refine = nn.Sequential(
            *(_Residual(*folded(each.get_submodule("layers"))) for each in network.refine)
        )
        dense, scores = (
            layer for layer in network.frames_to_scores if isinstance(layer, nn.Linear)
        )
        temperature = network.temperature.double()
        self.frames_to_hidden = product(dense.weight, dense.bias)
        self.hidden_to_scores = product(
            scores.weight.double() / temperature.unsqueeze(1), scores.bias.double() / temperature
        )
        self.frames_to_near = _flat(network.frames_to_near)
        self.near_to_moments = _flat(network.near_to_moments)
        self.window_to_moments = product(network.window_to_moments.weight, None)
        self.eval()
        for values in self.parameters():
            values.requires_grad = False

    def embed(self, columns: Tensor) -> Tensor:
        """Compute frames, as `Network.embed`."""
        maps: Tensor = self.columns_to_frames(columns.unsqueeze(1))
        return maps.squeeze(3).transpose(1, 2)

    def decide(self, frames: Tensor) -> Tensor:
        """Predict the labels of windows, as `Network.decide`."""
        return self.scores(self.pooled(self.refined(frames)))

    def predict(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Predict the labels of windows and of their moments, as `Network.predict`."""
        refined = self.refined(frames)
        pooled = self.pooled(refined)
        first = (frames.shape[1] - self.moments) // 2 - self.around // 2
        moments: Tensor = self.near_to_moments(torch.relu(self.frames_to_near(_maps(refined))))
        near = _frames(moments)[:, first : first + self.moments]
        whole: Tensor = self.window_to_moments(pooled)
        return self.scores(pooled), torch.sigmoid(near + whole.unsqueeze(1))

    def scores(self, pooled: Tensor) -> Tensor:
        """Compute the probabilities of windows from their pooled frames."""
        scores: Tensor = self.hidden_to_scores(torch.relu(self.frames_to_hidden(pooled)))
        return torch.sigmoid(scores)

    def refined(self, frames: Tensor) -> Tensor:
        """Compute refined frames, as `Network.refined`."""
        refined: Tensor = self.refine(frames)
        return refined

    def pooled(self, frames: Tensor) -> Tensor:
        """Pool refined frames, as `Network.pooled`."""
        count = frames.shape[1]
        place = torch.arange(1, count + 1, dtype=frames.dtype)
        taper = torch.sin(place * (torch.pi / (count + 1))).square()
        taper = (taper / taper.sum()).unsqueeze(0)
        centre = torch.matmul(taper, frames)
        distances = frames - centre
        spread = torch.matmul(taper, distances * distances)
        mean = torch.matmul(torch.ones_like(taper) / count, frames)
        largest = frames.amax(dim=1, keepdim=True)
        pooled = torch.cat([centre, torch.sqrt(spread + 1e-5), mean, largest], dim=2)
        return pooled.squeeze(1)


class _Residual(nn.Module):
    """Add to each frame what a second around it says."""

    def __init__(self, within: Layer, across: Layer) -> None:
        super().__init__()
        self.within, self.across = within.convolution(), across.convolution()

    def forward(self, frames: Tensor) -> Tensor:
        near = self.across(torch.relu(self.within(_maps(frames))))
        return torch.relu(_frames(near) + frames)


def _maps(frames: Tensor) -> Tensor:
    """Return frames (batch, n, features) as maps (batch, features, 1, n)."""
    return frames.unsqueeze(1).permute(0, 3, 1, 2)


def _frames(maps: Tensor) -> Tensor:
    """Return maps (batch, features, 1, n) as frames (batch, n, features)."""
    return maps.permute(0, 2, 3, 1).squeeze(1)


def _flat(layer: nn.Conv1d) -> nn.Conv2d:
    """Return a convolution along frames as one over frames and a dimension of 1."""
    made = nn.Conv2d(layer.in_channels, layer.out_channels, (1, layer.kernel_size[0]))
    assert made.bias is not None
    assert layer.bias is not None
    made.weight.data.copy_(layer.weight.detach().unsqueeze(2))
    made.bias.data.copy_(layer.bias.detach())
    return made
