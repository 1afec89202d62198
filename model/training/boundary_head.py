"""Fine-tuning of the boundary head, the last phase of a training.

Few windows of the main training have a boundary near the centre, so the frame-level predictions
follow the window's. Here only the layers of the boundary head train, on windows of which half have
a boundary within 1 s of the centre. The clip-level predictions do not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from model.training.mixer import moment_targets

if TYPE_CHECKING:
    from model.training.loop import WindowSource

BATCHES_PER_STEP = 2 / 15  # for each step of the main training
EPOCHS = 15
BATCH = 256
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.01


def fit(network: Any, mixer: WindowSource, *, steps: int, batch: int, seed: int) -> float:
    """Train the boundary head of a trained network, in place.

    Parameters
    ----------
    network : nn.Module
        With `moments` > 0, on any device.
    mixer : WindowSource
        Generates windows of which half have a boundary within 1 s of the centre.
    steps, batch : int > 0
        Of the main training; here `BATCHES_PER_STEP` times as many batches are drawn, and used
        `EPOCHS` times.
    seed : int >= 0
        Random seed.

    Returns
    -------
    float
        Mean cross-entropy of the last epoch.
    """
    frames, shares = _frames_and_targets(
        network, mixer, max(1, int(steps * BATCHES_PER_STEP)), batch, seed
    )
    layers = (network.frames_to_near, network.near_to_moments, network.window_to_moments)
    trained = [values for layer in layers for values in layer.parameters()]
    optimiser = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps_here = EPOCHS * -(-len(frames) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps_here)
    device = next(network.parameters()).device
    cost = 0.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(EPOCHS):
            costs = []
            for chosen in torch.split(torch.randperm(len(frames)), BATCH):
                scores = network.moment_scores(frames[chosen].to(device).float())
                targets = shares[chosen].to(device)
                loss = nn.functional.binary_cross_entropy_with_logits(scores, targets)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
                costs.append(float(loss.detach()))
            cost = float(np.mean(costs))
    return cost


def _frames_and_targets(
    network: Any, mixer: WindowSource, batches: int, batch: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the frames of many windows, and the targets of the boundary head."""
    device = next(network.parameters()).device
    network.eval()
    frames, shares = [], []
    for number in range(batches):
        columns, active, *_ = mixer.batch(batch, np.random.default_rng([seed, 1, number]))
        with torch.no_grad():
            frames.append(network.embed(columns.to(device)).half().cpu())
        shares.append(
            moment_targets(
                active, context=network.context, stride=network.stride, moments=network.moments
            )
        )
    return torch.cat(frames), torch.cat(shares)
