"""The last lesson of a training: where in a window something begins or ends.

Few windows of the training proper have a boundary in their middle, where moments are judged, and
so they learn mostly what the window says. Here the network is done but for the layers that judge
moments, which learn from windows of which most have one. Its decisions do not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from model.training.mixer import moment_targets

if TYPE_CHECKING:
    from model.training.loop import Mixes

BATCHES_PER_STEP = 2 / 15  # of windows, for each step of the training proper
PASSES = 15
BATCH = 256
RATE = 3e-3
WEIGHT_DECAY = 0.01


def fit(network: Any, mixer: Mixes, *, steps: int, batch: int, seed: int) -> float:
    """Teach a trained network its moments, in place.

    Parameters
    ----------
    network : nn.Module
        With `moments`; on the CPU or not.
    mixer : Mixes
        Makes windows of which most have a boundary near the middle.
    steps, batch : int > 0
        Of the training proper: so many windows are drawn here, times `BATCHES_PER_STEP`.
    seed : int >= 0
        Of everything drawn.

    Returns
    -------
    float
        Mean negative log-likelihood of the moments in the last pass.
    """
    frames, shares = _lesson(network, mixer, max(1, int(steps * BATCHES_PER_STEP)), batch, seed)
    layers = (network.frames_to_near, network.near_to_moments, network.window_to_moments)
    learnt = [values for layer in layers for values in layer.parameters()]
    optimiser = torch.optim.AdamW(learnt, lr=RATE, weight_decay=WEIGHT_DECAY)
    turns = PASSES * -(-len(frames) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=turns)
    device = next(network.parameters()).device
    cost = 0.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(PASSES):
            costs = []
            for chosen in torch.split(torch.randperm(len(frames)), BATCH):
                scores = network.moment_scores(frames[chosen].to(device).float())
                wanted = shares[chosen].to(device)
                loss = nn.functional.binary_cross_entropy_with_logits(scores, wanted)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
                costs.append(float(loss.detach()))
            cost = float(np.mean(costs))
    return cost


def _lesson(
    network: Any, mixer: Mixes, batches: int, batch: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the frames of many windows, and what is heard in the moments of each."""
    device = next(network.parameters()).device
    network.eval()
    frames, shares = [], []
    for number in range(batches):
        columns, heard = mixer.batch(batch, np.random.default_rng([seed, 1, number]))
        with torch.no_grad():
            frames.append(network.embed(columns.to(device)).half().cpu())
        shares.append(
            moment_targets(
                heard, context=network.context, stride=network.stride, moments=network.moments
            )
        )
    return torch.cat(frames), torch.cat(shares)
