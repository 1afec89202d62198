"""Validation windows: selection of the best state, calibration, and the label-noise filter.

Selection and calibration are by the mean over sources: each source of each class counts the same,
and so does each mixture and each degradation. A source with many windows does not outweigh
the others.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from model.corpus import cache
from model.evaluation import conditions
from model.evaluation.by_source import MIN_WINDOWS
from model.frontend.rolling_cqt import RollingCQT, cqt
from model.training.mixture import WINDOW

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from model.corpus.feature_store import FeatureStore
    from model.corpus.sources import Split
    from model.evaluation.conditions import Condition
    from model.networks.pooled import Network

# Of one class of one source, and of a mixture or degradation.
MAX_PER_SOURCE, MAX_WINDOWS = 50, 40
SMALL = "small sources"
CONDITIONS = (
    *conditions.PURE,
    "silence and hiss",
    "speech in a room",
    "speech, noise 10 dB under",
    *(f"music at {level:+d} dB and speech" for level in conditions.MUSIC_LEVELS_DB),
    *(f"{kind}, {name}" for kind in ("speech", "music") for name in ("telephone", "Opus 16 kb/s")),
)
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
        What each window counts for: its class and source, such as 'speech, librispeech', or its
        condition. Each name has the same weight.
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


def of_corpus(folder: Path, split: Split = "validation") -> Validation:
    """Return the windows of a corpus, for a network for speech and music."""
    return validation_set(
        conditions.conditions(
            folder,
            split,
            max_windows=MAX_WINDOWS,
            max_per_source=MAX_PER_SOURCE,
            names=CONDITIONS,
        )
    )


def validation_set(windows: Iterable[Condition]) -> Validation:
    """Compute the columns of the windows of conditions, without their surroundings."""
    front_end = RollingCQT()
    parts, truths, names = [], [], []
    with torch.inference_mode():
        for each in windows:
            for block in torch.split(torch.from_numpy(each.samples), 16):
                parts.append(cqt(block, front_end)[:, :WINDOW].half())
            truths.append(torch.tensor(each.truth, dtype=torch.float32).repeat(len(each.groups), 1))
            names += _names(each)
    return Validation(torch.cat(parts), torch.cat(truths), names)


def _names(each: Condition) -> list[str]:
    """Return what each window of a condition counts for; small sources count together."""
    if each.name not in conditions.PURE or not any(each.sources):
        return [each.name] * len(each.groups)
    counts = Counter(each.sources)
    return [
        f"{each.name}, {source if counts[source] >= MIN_WINDOWS else SMALL}"
        for source in each.sources
    ]


def log_odds(network: Network, columns: Tensor, device: str = "cpu") -> Tensor:
    """Return the log odds of windows [shape=(n, 250, 144)], in batches."""
    network.eval()
    with torch.no_grad():
        return torch.cat([network(b.to(device).float()).cpu() for b in torch.split(columns, 128)])


def condition_error(scores: Tensor, held_out: Validation) -> float:
    """Return the share of wrong outputs at 0.5, averaged over names."""
    wrong = ((scores > 0) != (held_out.truth > 0.5)).float().mean(dim=1)
    return float((wrong * _weights(held_out)).sum())


def condition_cost(scores: Tensor, held_out: Validation) -> float:
    """Return the cross-entropy, averaged over names.

    It is smoother than the error at 0.5, and rewards calibrated probabilities. Log odds are
    clipped at `MAX_LOG_ODDS`, a probability of 1 in 150.
    """
    bounded = scores.clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS)
    cost = nn.functional.binary_cross_entropy_with_logits(
        bounded, held_out.truth, reduction="none"
    ).mean(dim=1)
    return float((cost * _weights(held_out)).sum())


def _weights(held_out: Validation) -> Tensor:
    """Return the weight of each window [shape=(n,)]: equal for all names, 1 in all."""
    counts = Counter(held_out.names)
    return torch.tensor([1.0 / (len(counts) * counts[name]) for name in held_out.names])


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
    """Fit the temperature of each output to the validation windows, by names, in place."""
    network.get_buffer("temperature").fill_(1.0)
    scores = log_odds(network, held_out.columns)
    # The search is over the logarithm: a temperature is positive.
    exponent = torch.zeros(scores.shape[1], requires_grad=True)
    weights = _weights(held_out)[:, None]
    optimiser = torch.optim.LBFGS([exponent], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        sharpened = scores * exponent.exp()
        cost = nn.functional.binary_cross_entropy_with_logits(
            sharpened, held_out.truth, weights, reduction="sum"
        )
        cost.backward()  # type: ignore[no-untyped-call]
        return cost

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    network.get_buffer("temperature").copy_(exponent.detach().neg().exp().clamp(0.2, 20.0))
