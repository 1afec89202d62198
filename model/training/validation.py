"""Validation windows: selection of the best state, calibration, and the label-noise filter."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from model.corpus import cache
from model.frontend.rolling_cqt import RollingCQT, cqt
from model.training.mixture import WINDOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.corpus.feature_store import FeatureStore
    from model.evaluation.conditions import Condition
    from model.networks.pooled import Network

# A take counts as mislabelled if a half-trained network gives its class a lower probability.
MISLABELLED_BELOW = 0.05
# Log odds are clipped here, so that a mislabelled window cannot dominate.
MAX_LOG_ODDS = 5.0


@dataclass(frozen=True, slots=True)
class Validation:
    """Columns and labels of held-out windows.

    Parameters
    ----------
    columns : torch.Tensor [shape=(n, 250, 144), float16]
        Compressed magnitudes.
    truth : torch.Tensor [shape=(n, labels), float32]
        0 or 1 for each label.
    names : list of str
        The condition of each window.
    """

    columns: Tensor
    truth: Tensor
    names: list[str]


def key_of(held_out: Validation) -> str:
    """Return a hash of validation windows."""
    digest = hashlib.sha256()
    for values in (held_out.columns, held_out.truth):
        digest.update(values.contiguous().numpy().tobytes())
    return cache.key_of(digest.hexdigest(), held_out.names)


def validation_set(conditions: Sequence[Condition]) -> Validation:
    """Compute the columns of the windows of conditions, without their surroundings."""
    front_end = RollingCQT()
    parts, truths, names = [], [], []
    with torch.inference_mode():
        for each in conditions:
            for block in torch.split(torch.from_numpy(each.samples), 16):
                parts.append(cqt(block, front_end)[:, :WINDOW].half())
            truths.append(torch.tensor(each.truth, dtype=torch.float32).repeat(len(each.groups), 1))
            names += [each.name] * len(each.groups)
    return Validation(torch.cat(parts), torch.cat(truths), names)


def log_odds(network: Network, columns: Tensor, device: str = "cpu") -> Tensor:
    """Return the log odds of windows [shape=(n, 250, 144)], in batches."""
    network.eval()
    with torch.no_grad():
        return torch.cat([network(b.to(device).float()).cpu() for b in torch.split(columns, 128)])


def condition_error(scores: Tensor, held_out: Validation) -> float:
    """Return the share of wrong outputs at 0.5, averaged over conditions."""
    wrong = ((scores > 0) != (held_out.truth > 0.5)).float().mean(dim=1).numpy()
    names = np.array(held_out.names)
    return float(np.mean([wrong[names == name].mean() for name in dict.fromkeys(held_out.names)]))


def condition_cost(scores: Tensor, held_out: Validation) -> float:
    """Return the cross-entropy, averaged over conditions.

    It is smoother than the error at 0.5, and rewards calibrated probabilities. Log odds are
    clipped at `MAX_LOG_ODDS`, a probability of 1 in 150.
    """
    bounded = scores.clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS)
    cost = nn.functional.binary_cross_entropy_with_logits(
        bounded, held_out.truth, reduction="none"
    ).mean(dim=1)
    names = np.array(held_out.names)
    per_window = cost.numpy()
    return float(np.mean([per_window[names == name].mean() for name in dict.fromkeys(names)]))


def find_mislabelled(network: Network, store: FeatureStore, device: str = "cpu") -> set[int]:
    """Return the takes that a half-trained network finds mislabelled.

    Returns
    -------
    set of int
        Indices of takes: noise with a likely label, others with an unlikely own label.
        Synthetic takes have certain labels and are skipped.
    """
    found = set()
    for number, take in enumerate(store.takes):
        whole = (take.end - take.start) // WINDOW
        if not whole or take.origin == "synthetic":
            continue
        end = take.start + whole * WINDOW
        columns = torch.from_numpy(np.array(store.columns[take.start : end]))
        odds = log_odds(network, columns.view(whole, WINDOW, -1), device)
        speech, music = torch.sigmoid(odds).median(dim=0).values.tolist()
        own = {"speech": speech, "noise": 1 - max(speech, music)}.get(take.kind, music)
        if own < MISLABELLED_BELOW:
            found.add(number)
    return found


def calibrate(network: Network, held_out: Validation) -> None:
    """Fit the temperature of each output to the validation windows, in place."""
    network.get_buffer("temperature").fill_(1.0)
    scores = log_odds(network, held_out.columns)
    # The search is over the logarithm: a temperature is positive.
    exponent = torch.zeros(scores.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS([exponent], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        sharpened = scores * exponent.exp()
        cost = nn.functional.binary_cross_entropy_with_logits(sharpened, held_out.truth)
        cost.backward()  # type: ignore[no-untyped-call]
        return cost

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    network.get_buffer("temperature").copy_(exponent.detach().neg().exp().clamp(0.2, 20.0))
