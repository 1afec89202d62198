"""The default network: columns to frames, then the frames of a 5 s window to probabilities.

`embed` is convolutional without padding in time, so a frame depends on its own columns only, in
any block. `decide` pools the frames of a window: mean and standard deviation under a taper, so
that a probability crosses 0.5 when a boundary passes the centre, and plain mean and maximum, for
short events. `predict` also has the boundary head: frame-level predictions around the centre.
This is the form that is trained; `model.networks.inference` is the one that is exported.
"""

import torch
from torch import Tensor, nn

from model.spec import N_BINS

# The log-compressed columns lie in [0, 13.3]; quiet broadcast speech is near 4.
TYPICAL_COLUMN = 4.0
COLUMN_SPREAD = 3.0
# Frames around the centre with predictions of their own: together one step between windows.
MOMENTS = 5
# Refined frames that a moment depends on, besides the pooled window: one layer of refinement makes
# them 17 + 4 frames, 2 s before and after it.
AROUND = 17


class Network(nn.Module):
    """Depthwise separable convolutions over bins and time, then pooling over time.

    Parameters
    ----------
    n_bins : int > 0
        Bins of a column.
    labels : int > 0
        Independent outputs.
    maps : (int, int, int, int)
        Feature maps of the two-dimensional layers.
    frame_size : int > 0
        Features of a frame.
    hidden : int > 0
        Features of a window.
    refine : int >= 0
        Residual layers along the frames of a window.

    Notes
    -----
    A frame depends on `context` columns (0.8 s); there is one every `stride` columns (0.2 s).
    """

    temperature: Tensor

    def __init__(
        self,
        n_bins: int = N_BINS,
        labels: int = 2,
        maps: tuple[int, int, int, int] = (16, 32, 64, 96),
        frame_size: int = 160,
        hidden: int = 96,
        refine: int = 1,
    ) -> None:
        super().__init__()
        first, second, third, fourth = maps
        self.typical = TYPICAL_COLUMN
        self.spread = COLUMN_SPREAD
        self.context = 40
        self.stride = 10
        self.frame_size = frame_size
        self.columns_to_maps = nn.Sequential(
            # 0.3 of an octave by 80 ms.
            nn.Conv2d(1, first, (4, 7), stride=(2, 3), bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            *_separable(first, second),
            *_separable(second, third),
        )
        bins = (n_bins - 7) // 3 + 1
        bins = ((bins - 5) // 2 + 1 - 5) // 2 + 1
        self.maps_to_frames = nn.Sequential(
            # Syllables: half a second within each map, before the bins are joined: a fifth of
            # the arithmetic.
            nn.Conv2d(third, third, (11, 1), stride=(5, 1), groups=third, bias=False),
            nn.BatchNorm2d(third),
            nn.ReLU(),
            nn.Conv2d(third, fourth, 1, bias=False),
            nn.BatchNorm2d(fourth),
            nn.ReLU(),
            nn.Conv2d(fourth, frame_size, (1, bins), bias=False),
            nn.BatchNorm2d(frame_size),
            nn.ReLU(),
            nn.Conv2d(frame_size, frame_size, 1, bias=False),
            nn.BatchNorm2d(frame_size),
            nn.ReLU(),
        )
        self.refine = nn.ModuleList(_Residual(frame_size) for _ in range(refine))
        self.pooled_size = 4 * frame_size
        self.frames_to_scores = nn.Sequential(
            nn.Linear(4 * frame_size, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, labels)
        )
        self.moments = MOMENTS
        self.around = AROUND
        self.frames_to_near = nn.Conv1d(frame_size, 48, 11)
        self.near_to_moments = nn.Conv1d(48, labels, AROUND - 10)
        self.window_to_moments = nn.Linear(4 * frame_size, labels, bias=False)
        # Calibration, fitted to the validation windows after training.
        self.register_buffer("temperature", torch.ones(labels))
        # With few maps, convolutions run twice as fast with the maps innermost.
        self.to(memory_format=torch.channels_last)

    def embed(self, columns: Tensor) -> Tensor:
        """Compute frames, which overlapping windows share.

        Parameters
        ----------
        columns : torch.Tensor [shape=(batch, t, n_bins)]
            At least `context` columns.

        Returns
        -------
        torch.Tensor [shape=(batch, (t - context) // stride + 1, frame_size)]
            Frame i depends on columns ``i * stride`` to ``i * stride + context``.
        """
        scaled = (columns.unsqueeze(1) - self.typical) / self.spread
        maps: Tensor = self.maps_to_frames(self.columns_to_maps(scaled))
        return maps.squeeze(3).transpose(1, 2)

    def scores(self, frames: Tensor) -> Tensor:
        """Compute the log odds of windows [shape=(batch, labels)]; see `decide`."""
        return self.window_scores(self.pool(frames))

    def moment_scores(self, frames: Tensor) -> Tensor:
        """Compute the log odds of moments [shape=(batch, moments, labels)]; see `predict`."""
        refined = self.refined(frames)
        return self.near_scores(refined, self.pooled(refined))

    def window_scores(self, pooled: Tensor) -> Tensor:
        """Compute the log odds of windows from their pooled frames."""
        scores: Tensor = self.frames_to_scores(pooled)
        return scores / self.temperature

    def near_scores(self, refined: Tensor, pooled: Tensor) -> Tensor:
        """Compute the log odds of moments from refined frames and their pooling."""
        first = (refined.shape[1] - self.moments) // 2 - self.around // 2
        around = refined[:, first : first + self.moments + self.around - 1]
        near = _convolved(around, self.frames_to_near.weight, self.frames_to_near.bias)
        moments = _convolved(
            torch.relu(near), self.near_to_moments.weight, self.near_to_moments.bias
        )
        whole: Tensor = self.window_to_moments(pooled)
        return moments + whole.unsqueeze(1)

    def pool(self, frames: Tensor) -> Tensor:
        """Pool the frames of windows [shape=(batch, 4 * frame_size)]."""
        return self.pooled(self.refined(frames))

    def refined(self, frames: Tensor) -> Tensor:
        """Return frames that are each, by one layer, a function of the 5 frames around it."""
        for layer in self.refine:
            frames = layer(frames)
        return frames

    def pooled(self, frames: Tensor) -> Tensor:
        """Pool refined frames: mean and spread under a taper, plain mean and maximum."""
        weights = torch.hann_window(
            frames.shape[1] + 2, periodic=False, dtype=frames.dtype, device=frames.device
        )[1:-1]
        weights = (weights / weights.sum()).unsqueeze(1)
        centre = (frames * weights).sum(dim=1)
        spread = ((frames - centre.unsqueeze(1)).square() * weights).sum(dim=1)
        return torch.cat(
            [centre, torch.sqrt(spread + 1e-5), frames.mean(dim=1), frames.amax(dim=1)], dim=1
        )

    def decide(self, frames: Tensor) -> Tensor:
        """Predict the labels of windows.

        Parameters
        ----------
        frames : torch.Tensor [shape=(batch, n, frame_size)]
            The frames of each window.

        Returns
        -------
        torch.Tensor [shape=(batch, labels)]
            Independent probabilities in [0, 1].
        """
        return torch.sigmoid(self.scores(frames))

    def predict(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Predict the labels of windows, and of the moments around their centre.

        Parameters
        ----------
        frames : torch.Tensor [shape=(batch, n, frame_size)]
            The frames of each window; at least `moments` + 16.

        Returns
        -------
        probabilities : torch.Tensor [shape=(batch, labels)]
            As `decide` returns them.
        moments : torch.Tensor [shape=(batch, moments, labels)]
            Independent probabilities in [0, 1] at the centre of frame
            ``(n - moments) // 2 + i``.
        """
        refined = self.refined(frames)
        pooled = self.pooled(refined)
        moments = self.near_scores(refined, pooled)
        return torch.sigmoid(self.window_scores(pooled)), torch.sigmoid(moments)

    def forward(self, columns: Tensor) -> Tensor:
        """Compute the log odds of windows [shape=(batch, t, n_bins)], for training."""
        return self.scores(self.embed(columns))


class _Residual(nn.Module):
    """Add to each frame what a second around it says: a convolution along the frames."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(size, size, 5, padding=2, groups=size, bias=False),
            nn.BatchNorm1d(size),
            nn.ReLU(),
            nn.Conv1d(size, size, 1, bias=False),
            nn.BatchNorm1d(size),
        )

    def forward(self, frames: Tensor) -> Tensor:
        added: Tensor = self.layers(frames.transpose(1, 2)).transpose(1, 2)
        return torch.relu(frames + added)


def _convolved(values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve (batch, t, features) along t, as one matrix product.

    For this little work, the call of a convolution costs more than its arithmetic.
    """
    rows = values.unfold(1, weight.shape[2], 1).transpose(2, 3)
    count = rows.shape[1]
    rows = rows.reshape(-1, weight.shape[2] * weight.shape[1])
    convolved = nn.functional.linear(rows, weight.transpose(1, 2).flatten(1), bias)
    return convolved.view(-1, count, weight.shape[0])


def _separable(before: int, after: int) -> list[nn.Module]:
    """Convolve 5 frames by 5 bins within each map, then across maps."""
    return [
        nn.Conv2d(before, before, 5, stride=(1, 2), groups=before, bias=False),
        nn.BatchNorm2d(before),
        nn.ReLU(),
        nn.Conv2d(before, after, 1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    ]
