"""A training in progress: everything that must survive an interruption, and what was measured.

::

    RUN/
      state.pt       to go on from: networks, optimiser, settings, figures of every batch
      initial.pt, best.pt, last.pt   states of the network that is kept
      sheet.csv      one row a validation
      batches.csv    one row a batch

Every file is whole or not there. What is after the last validation is computed again.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from airsift.errors import ConfigError
from airsift.files import write_whole
from model.networks import presets
from model.training.mixer import moment_targets, targets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from model.training.loop import Settings

SHEET = ("step", "train_cost", "validation_cost", "validation_error", "best")
BATCHES = ("step", "cost", "error")
# What the moments' cost counts beside that of the windows.
MOMENTS_SHARE = 0.5


class Progress:
    """The network that learns, its running average that is kept, and where they are.

    Parameters
    ----------
    settings : Settings
        How to train.
    labels : sequence of str
        Names of the outputs.
    folder : Path
        Where its files are; a training that is there is gone on with.
    learnt_from : mapping of str to str, optional
        Keys of all that it learns from, by what each is of.

    Raises
    ------
    ConfigError
        The folder holds a training with other settings, labels or material, or cannot be written
        to.
    """

    def __init__(
        self,
        settings: Settings,
        labels: Sequence[str],
        folder: Path,
        learnt_from: Mapping[str, str] | None = None,
    ) -> None:
        self.settings, self.labels, self.folder = settings, tuple(labels), folder
        self.learnt_from = dict(learnt_from or {})
        torch.manual_seed(settings.seed)
        self.network: Any = presets.make(settings.network, len(labels)).to(settings.device)
        self.average: Any = presets.make(settings.network, len(labels)).to(settings.device)
        self.average.load_state_dict(self.network.state_dict())
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=settings.rate, weight_decay=settings.weight_decay
        )
        self.step, self.cost, self.best = 0, math.nan, math.inf
        self.dropped: set[int] = set()
        self.batches: list[tuple[float, float]] = []
        self.validations: list[tuple[int, float, float, float, float]] = []
        if (folder / "state.pt").exists():
            check(folder, settings, self.labels, self.learnt_from)
            self._restore(load(folder / "state.pt"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            save(self.network.state_dict(), folder / "initial.pt")

    def learn(self, columns: Tensor, heard: Tensor) -> dict[str, float]:
        """Learn from the windows of the next step; return its figures.

        Parameters
        ----------
        columns : torch.Tensor [shape=(batch, t, bins)]
            Of each window.
        heard : torch.Tensor [shape=(batch, t, labels)]
            For each column, whether each label is heard.
        """
        settings = self.settings
        torch.manual_seed(settings.seed * 1_000_003 + self.step)
        self.network.train()
        for group in self.optimiser.param_groups:
            group["lr"] = settings.rate * _schedule(self.step / settings.steps)
        network, unlikely = self.network, nn.functional.binary_cross_entropy_with_logits
        frames = network.embed(columns.to(settings.device))
        wanted, scores = targets(heard).to(settings.device), network.scores(frames)
        cost = total = unlikely(scores, wanted)
        if network.moments:
            shares = moment_targets(
                heard, context=network.context, stride=network.stride, moments=network.moments
            ).to(settings.device)
            total = cost + MOMENTS_SHARE * unlikely(network.moment_scores(frames), shares)
        self.optimiser.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimiser.step()
        self.step += 1
        error = float(((scores.detach() > 0) != (wanted > 0.5)).float().mean())
        value = float(cost.detach())
        self.batches.append((value, error))
        self.cost = value if math.isnan(self.cost) else 0.98 * self.cost + 0.02 * value
        self._follow()
        return {"train cost": value, "train error": error}

    def _follow(self) -> None:
        """Move the average towards the network; quickly at first, when it knows nothing."""
        keep = min(self.settings.decay, (1 + self.step) / (20 + self.step))
        state = self.network.state_dict()
        with torch.no_grad():
            for name, values in self.average.state_dict().items():
                if values.is_floating_point():
                    values.lerp_(state[name], 1 - keep)
                else:
                    values.copy_(state[name])

    def validated(self, cost: float, error: float) -> dict[str, float]:
        """Note a validation, keep the average if its cost is the lowest, store everything."""
        if cost < self.best:
            self.best = cost
            save(self.average.state_dict(), self.folder / "best.pt")
        save(self.average.state_dict(), self.folder / "last.pt")
        self.validations.append((self.step, self.cost, cost, error, self.best))
        _table(self.folder / "sheet.csv", SHEET, self.validations)
        numbered = ((number, *row) for number, row in enumerate(self.batches, 1))
        _table(self.folder / "batches.csv", BATCHES, numbered)
        save(
            {
                "settings": asdict(self.settings), "labels": list(self.labels),
                "learnt from": self.learnt_from,
                "step": self.step, "cost": self.cost, "best": self.best,
                "dropped": sorted(self.dropped), "batches": self.batches,
                "validations": self.validations, "network": self.network.state_dict(),
                "average": self.average.state_dict(), "optimiser": self.optimiser.state_dict(),
            },
            self.folder / "state.pt",
        )  # fmt: skip
        return {"validation cost": cost, "validation error": error, "best": self.best}

    def best_network(self) -> Any:
        """Return the state with the lowest cost on the validation windows."""
        network = presets.make(self.settings.network, len(self.labels))
        network.load_state_dict(load(self.folder / "best.pt"))
        return network

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.cost, self.best = state["step"], state["cost"], state["best"]
        self.dropped = set(state["dropped"])
        self.batches = [(float(cost), float(error)) for cost, error in state["batches"]]
        self.validations = [tuple(row) for row in state["validations"]]


def check(
    folder: Path, settings: Settings, labels: Sequence[str], learnt_from: Mapping[str, str]
) -> None:
    """Refuse a folder that holds another training; see `Progress`.

    Raises
    ------
    ConfigError
        With what differs.
    """
    if not (folder / "state.pt").exists():
        return
    state = load(folder / "state.pt")
    wanted = {**asdict(settings), "labels": list(labels)}
    found = {**state.get("settings", {}), "labels": state.get("labels", [])}
    differ = [name for name in wanted if found.get(name) != wanted[name]]
    if differ:
        told = ", ".join(f"{n}={found.get(n)!r} and not {wanted[n]!r}" for n in differ)
        raise ConfigError(
            f"{folder} holds a training with other settings ({told}): use those, or another folder"
        )
    before = state.get("learnt from", {})
    changed = [n for n in {**before, **learnt_from} if before.get(n) != learnt_from.get(n)]
    if changed:
        raise ConfigError(
            f"{folder} holds a training from before {' and '.join(changed)} changed: name another "
            "folder, or remove this one to train anew"
        )


def save(values: object, path: Path) -> None:
    """Write tensors and plain values so that the file is whole or not there."""
    buffer = io.BytesIO()
    torch.save(values, buffer)
    write_whole(path, buffer.getvalue())


def load(path: Path) -> Any:
    """Read what `save` wrote.

    Raises
    ------
    ConfigError
        It is something else, or damaged.
    """
    try:
        return torch.load(path, weights_only=True)
    except (RuntimeError, ValueError, EOFError, KeyError, OSError) as error:
        raise ConfigError(
            f"{path} is no state of a training ({type(error).__name__}): train in another folder"
        ) from error


def _table(path: Path, header: Sequence[str], rows: Iterable[Sequence[float]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for step, *values in rows:
        writer.writerow((step, *(f"{value:.5f}" for value in values)))
    write_whole(path, text.getvalue().encode())


def _schedule(share: float) -> float:
    """Learning rate over the training, as a share of the highest."""
    rise = 0.05
    if share < rise:
        return (share + 0.002) / (rise + 0.002)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (share - rise) / (1 - rise)))
