"""The state of a training: what survives an interruption, and the metrics so far.

::

    RUN/
      state.pt       to resume: networks, optimiser, settings, metrics of every batch
      initial.pt, best.pt, last.pt   EMA states of the network
      validations.csv  one row for each validation
      batches.csv    one row for each batch

Steps after the last validation are repeated on resumption.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from airsift.errors import ConfigError
from model.corpus.teacher import CLASSES_COUNT
from model.networks import presets
from model.short import SHORTEST_COLUMNS
from model.training.mixer import moment_targets, window_targets
from model.training.states import BATCHES, VALIDATIONS, load, save, write_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from model.training.loop import Settings
    from model.training.mixer import Batch

# Weights of the costs of the boundary head and of the teacher's tags.
BOUNDARY_WEIGHT = 0.5
TAG_WEIGHT = 10.0
# Share of the batches with windows shorter than 5 s.
SHORT = 0.25


class TrainingRun:
    """A training in progress: the network, its exponential moving average (EMA), and its files.

    Parameters
    ----------
    settings : Settings
        Hyperparameters.
    labels : sequence of str
        Names of the outputs.
    folder : Path
        Its files; an existing training is resumed.
    input_keys : mapping of str to str, optional
        Keys of all inputs, by name.

    Raises
    ------
    ConfigError
        The folder holds a training with other settings, labels or inputs, or cannot be written.
    """

    def __init__(
        self,
        settings: Settings,
        labels: Sequence[str],
        folder: Path,
        input_keys: Mapping[str, str] | None = None,
    ) -> None:
        self.settings, self.labels, self.folder = settings, tuple(labels), folder
        self.input_keys = dict(input_keys or {})
        torch.manual_seed(settings.seed)
        self.network: Any = presets.make(settings.network, len(labels)).to(settings.device)
        self._ema = AveragedModel(self.network, avg_fn=self._blend, use_buffers=True)
        self._ema.update_parameters(self.network)  # the first update copies
        # Learns the teacher's tags from the same pooled frames, and is not part of the network.
        self.tag_head: nn.Linear | None = None
        self.parameters = [*self.network.parameters()]
        if self.network.moments:
            self.tag_head = nn.Linear(self.network.pooled_size, CLASSES_COUNT).to(settings.device)
            self.parameters += self.tag_head.parameters()
        self.optimiser = torch.optim.AdamW(
            self.parameters, lr=settings.rate, weight_decay=settings.weight_decay
        )
        self.step, self.cost, self.best = 0, math.nan, math.inf
        self.dropped: set[int] = set()
        self.batches: list[tuple[float, float]] = []
        self.validations: list[tuple[int, float, float, float, float]] = []
        if (folder / "state.pt").exists():
            check(folder, settings, self.labels, self.input_keys)
            self._restore(load(folder / "state.pt"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            save(self.network.state_dict(), folder / "initial.pt")

    @property
    def average(self) -> Any:
        """The EMA of the network, which is validated and saved."""
        return self._ema.module

    def train_step(self, batch: Batch) -> dict[str, float]:
        """Train on the windows of the next step; return its metrics."""
        settings, network = self.settings, self.network
        cross_entropy = nn.functional.binary_cross_entropy_with_logits
        torch.manual_seed(settings.seed * 1_000_003 + self.step)
        network.train()
        for group in self.optimiser.param_groups:
            group["lr"] = settings.rate * _schedule(self.step / settings.steps)
        whole = float(torch.rand(())) >= SHORT or not network.moments
        columns, active = (batch.columns, batch.active) if whole else _cut(batch, network.context)
        targets = window_targets(active).to(settings.device)
        frames = network.embed(columns.to(settings.device))
        if network.moments:
            # Once for all outputs: batch normalisation counts every call.
            refined = network.refined(frames)
            pooled = network.pooled(refined)
            scores = network.window_scores(pooled)
        else:
            scores = network.scores(frames)
        cost = total = cross_entropy(scores, targets)
        if network.moments and whole:
            shares = moment_targets(
                active, context=network.context, stride=network.stride, moments=network.moments
            ).to(settings.device)
            moments = network.near_scores(refined, pooled)
            total = cost + BOUNDARY_WEIGHT * cross_entropy(moments, shares)
            if self.tag_head is not None and len(batch.tagged):
                # A tag is of 5 s: what it names may not be in a shorter window.
                tags = self.tag_head(pooled[batch.tagged.to(settings.device)])
                total = total + TAG_WEIGHT * cross_entropy(tags, batch.tags.to(settings.device))
        self.optimiser.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters, 2.0)
        self.optimiser.step()
        self.step += 1
        error = float(((scores.detach() > 0) != (targets > 0.5)).float().mean())
        value = float(cost.detach())
        self.batches.append((value, error))
        self.cost = value if math.isnan(self.cost) else 0.98 * self.cost + 0.02 * value
        self._ema.update_parameters(network)
        return {"train cost": value, "train error": error}

    def _blend(self, average: Tensor, new: Tensor, updates: Tensor | int) -> Tensor:
        """Update one tensor of the EMA, faster in the first steps."""
        n = int(updates)
        decay = min(self.settings.decay, (1 + n) / (20 + n))
        return average.lerp(new, 1 - decay) if average.is_floating_point() else new

    def log_validation(self, cost: float, error: float) -> dict[str, float]:
        """Log a validation, save the EMA if its cost is the lowest, and save the state."""
        if cost < self.best:
            self.best = cost
            save(self.average.state_dict(), self.folder / "best.pt")
        save(self.average.state_dict(), self.folder / "last.pt")
        self.validations.append((self.step, self.cost, cost, error, self.best))
        write_table(self.folder / "validations.csv", VALIDATIONS, self.validations)
        numbered = ((number, *row) for number, row in enumerate(self.batches, 1))
        write_table(self.folder / "batches.csv", BATCHES, numbered)
        save(
            {
                "settings": asdict(self.settings), "labels": list(self.labels),
                "inputs": self.input_keys,
                "step": self.step, "cost": self.cost, "best": self.best,
                "dropped": sorted(self.dropped), "batches": self.batches,
                "validations": self.validations, "network": self.network.state_dict(),
                "average": self._ema.state_dict(), "optimiser": self.optimiser.state_dict(),
                "tag head": self.tag_head.state_dict() if self.tag_head is not None else {},
            },
            self.folder / "state.pt",
        )  # fmt: skip
        return {"validation cost": cost, "validation error": error, "best": self.best}

    def best_network(self) -> Any:
        """Return the EMA with the lowest validation cost."""
        network = presets.make(self.settings.network, len(self.labels))
        network.load_state_dict(load(self.folder / "best.pt"))
        return network

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        if self.tag_head is not None:
            self.tag_head.load_state_dict(state["tag head"])
        self._ema.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.cost, self.best = state["step"], state["cost"], state["best"]
        self.dropped = set(state["dropped"])
        self.batches = [(float(cost), float(error)) for cost, error in state["batches"]]
        self.validations = [tuple(row) for row in state["validations"]]


def _cut(batch: Batch, context: int) -> tuple[Tensor, Tensor]:
    """Cut windows of one random length out of the centre of those of a batch.

    Windows shorter than a frame stand in the middle of silence, as in `model.short`.
    """
    whole = batch.columns.shape[1]
    length = int(torch.randint(SHORTEST_COLUMNS, whole, ()))
    first = (whole - length) // 2
    columns = batch.columns[:, first : first + length]
    missing = max(0, context - length)
    before = missing // 2
    padded = nn.functional.pad(columns, (0, 0, before, missing - before))
    return padded, batch.active[:, first : first + length]


def check(
    folder: Path, settings: Settings, labels: Sequence[str], input_keys: Mapping[str, str]
) -> None:
    """Refuse a folder with another training; see `TrainingRun`.

    Raises
    ------
    ConfigError
        Settings, labels or inputs differ; the message names them.
    """
    if not (folder / "state.pt").exists():
        return
    state = load(folder / "state.pt")
    wanted = {**asdict(settings), "labels": list(labels)}
    found = {**state.get("settings", {}), "labels": state.get("labels", [])}
    differ = [name for name in wanted if found.get(name) != wanted[name]]
    if differ:
        listed = ", ".join(f"{n}={found.get(n)!r} and not {wanted[n]!r}" for n in differ)
        raise ConfigError(
            f"{folder} holds a training with other settings ({listed}): use those, or "
            "another folder"
        )
    before = state.get("inputs", {})
    changed = [n for n in {**before, **input_keys} if before.get(n) != input_keys.get(n)]
    if changed:
        raise ConfigError(
            f"{folder} holds a training from before {' and '.join(changed)} changed: name another "
            "folder, or remove this one to train anew"
        )


def _schedule(share: float) -> float:
    """Return the learning rate, relative to its maximum, at a share of the training.

    A linear rise, then a cosine. Computed from the step alone, it has no state to save;
    torch's `OneCycleLR` divides by zero at 20 steps with this rise.
    """
    rise = 0.05
    if share < rise:
        return (share + 0.002) / (rise + 0.002)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (share - rise) / (1 - rise)))
