"""Statistics of the batch normalisations of a trained network, from training windows.

During a training they follow networks that no longer exist, and those of the average (EMA) are an
average of them. After it they are computed anew for the weights that are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from model.training.loop import WindowSource

BATCHES = 60
NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d)


def reestimate(network: Any, mixer: WindowSource, *, batch: int, seed: int) -> None:
    """Replace the statistics by the means over `BATCHES` batches, in place.

    Parameters
    ----------
    network : nn.Module
        A trained network, on any device.
    mixer : WindowSource
        Generates windows as in the training.
    batch : int > 1
        Windows of a batch.
    seed : int >= 0
        Random seed.
    """
    network.eval()
    layers = [layer for layer in network.modules() if isinstance(layer, NORMALISATIONS)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a mean over the batches
        layer.train()
    device = next(network.parameters()).device
    with torch.no_grad():
        for number in range(BATCHES):
            windows = mixer.batch(batch, np.random.default_rng([seed, 2, number]))
            network.scores(network.embed(windows.columns.to(device)))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()
