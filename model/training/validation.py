"""What held-out windows decide in training: the state to keep, its calibration, wrong labels."""

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

    from model.corpus.feature_store import Bank
    from model.evaluation.conditions import Condition
    from model.networks.pooled import Network

# A stream that a half-trained network finds this unlikely to be of its class is mislabelled.
DISAGREEMENT = 0.05
# Log odds beyond which a mistake costs no more.
MOST_CERTAIN = 5.0


@dataclass(frozen=True, slots=True)
class Validation:
    """Columns of held-out windows, with the truth of each.

    Parameters
    ----------
    columns : torch.Tensor [shape=(n, 250, 144), float16]
        Compressed magnitudes.
    truth : torch.Tensor [shape=(n, 2), float32]
        0 or 1 for speech and music.
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
    """Compute the columns of every window of the conditions, each window on its own."""
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
    """Judge many windows [shape=(n, 250, 144)] without filling the memory."""
    network.eval()
    with torch.no_grad():
        return torch.cat([network(b.to(device).float()).cpu() for b in torch.split(columns, 128)])


def condition_error(scores: Tensor, held_out: Validation) -> float:
    """Share of wrong outputs at 0.5, averaged over conditions so that each counts the same."""
    wrong = ((scores > 0) != (held_out.truth > 0.5)).float().mean(dim=1).numpy()
    names = np.array(held_out.names)
    return float(np.mean([wrong[names == name].mean() for name in dict.fromkeys(held_out.names)]))


def condition_cost(scores: Tensor, held_out: Validation) -> float:
    """Mean negative log-likelihood, averaged over conditions so that each counts the same.

    It moves steadily where the error at 0.5 jumps from one validation to the next, and it
    rewards honest probabilities. A single window cannot cost more than one that is called
    impossible at 1 in 150: a mislabelled window must not decide.
    """
    bounded = scores.clamp(-MOST_CERTAIN, MOST_CERTAIN)
    cost = nn.functional.binary_cross_entropy_with_logits(
        bounded, held_out.truth, reduction="none"
    ).mean(dim=1)
    names = np.array(held_out.names)
    per_window = cost.numpy()
    return float(np.mean([per_window[names == name].mean() for name in dict.fromkeys(names)]))


def disagreeing(network: Network, bank: Bank, device: str = "cpu") -> set[int]:
    """Find streams that a half-trained network is confidently against.

    Returns
    -------
    set of int
        Places in the bank. Noise is dropped when either label is likely, the rest when its
        own label is unlikely.
    """
    found = set()
    for number, stream in enumerate(bank.streams):
        whole = (stream.end - stream.start) // WINDOW
        # What was made is what it was made to be, and made to be hard.
        if not whole or stream.origin == "made":
            continue
        end = stream.start + whole * WINDOW
        columns = torch.from_numpy(np.array(bank.columns[stream.start : end]))
        odds = log_odds(network, columns.view(whole, WINDOW, -1), device)
        speech, music = torch.sigmoid(odds).median(dim=0).values.tolist()
        own = {"speech": speech, "noise": 1 - max(speech, music)}.get(stream.kind, music)
        if own < DISAGREEMENT:
            found.add(number)
    return found


def calibrate(network: Network, held_out: Validation) -> None:
    """Fit each output's temperature to the validation windows, in place."""
    network.get_buffer("temperature").fill_(1.0)
    scores = log_odds(network, held_out.columns)
    # As an exponent, so that no step of the search makes a temperature negative.
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
