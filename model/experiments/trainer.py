"""Training of one network of an experiment: what it writes, and how it resumes.

::

    ROW/seed-N/
      state.pt         to resume after an interruption: written after each epoch
      initial.pt, best.pt, last.pt   states of the network
      batches.csv, validations.csv   cost and error, of every batch and every validation
      training_curves.png            the same as a picture
      tensorboard/     the same, live, on request

The best state has the lowest zero-one error on the validation windows; of equal ones, the first.
The order of the windows depends on the seed and the epoch alone, so a resumed training is the same
as one that was not interrupted.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from airsift.errors import ConfigError
from model.experiments import penalties as regularisation
from model.training import plot
from model.training.states import BATCHES, VALIDATIONS, load, save, write_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from model.corpus.sources import Split
    from model.experiments.architecture import ConvolutionalNetwork
    from model.experiments.penalties import Penalty

    Watch = Callable[[int, Mapping[str, float]], None]

_PREDICTED = 64  # windows at once, without gradients


@dataclass(frozen=True, slots=True)
class Settings:
    """Hyperparameters of one training.

    Parameters
    ----------
    epochs, batch : int > 0
        Passes over the training windows, and windows of a batch.
    rate : float > 0
        Learning rate.
    momentum : float in [0, 1)
        Of the gradient descent.
    seed : int >= 0
        Of the initial weights and the order of the windows.
    device : str
        'cpu' or 'cuda'.
    """

    epochs: int
    batch: int
    rate: float
    momentum: float
    seed: int
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Labelled:
    """Inputs of a split and their classes.

    Parameters
    ----------
    inputs : np.ndarray [shape=(n, channels, frames, bins), float16]
        Features.
    classes : np.ndarray [shape=(n,), int]
        0 or 1.
    targets : np.ndarray [shape=(n,), float32]
        Probability of class 1 that the network learns from: the classes, or mixed with those of a
        teacher, see `model.experiments.distillation`.
    """

    inputs: NDArray[np.float16]
    classes: NDArray[np.intp]
    targets: NDArray[np.float32]


def train(
    network: ConvolutionalNetwork,
    data: Mapping[Split, Labelled],
    settings: Settings,
    penalties: Sequence[Penalty],
    folder: Path,
    key: str,
    report: Callable[[str], None],
    watch: Watch | None = None,
) -> float:
    """Train a network in place, or resume; it ends in its best state.

    Parameters
    ----------
    network : ConvolutionalNetwork
        With its initial weights, standardised.
    data : mapping of Split to Labelled
        Training and validation windows.
    settings : Settings
        Hyperparameters.
    penalties : sequence of Penalty
        Added to the cost of each batch.
    folder : Path
        Its files.
    key : str
        Hash of all inputs.
    report : callable
        Receives a line after each epoch.
    watch : callable, optional
        Receives the step and its metrics, after each batch and each validation.

    Returns
    -------
    float
        Seconds of training, without validations, over all interruptions.

    Raises
    ------
    ConfigError
        The folder holds a training of other inputs, a layer of a penalty does not exist, or the
        memory does not suffice.
    """
    run = _Run(network.to(settings.device), settings, folder, key)
    try:
        while run.epoch < settings.epochs:
            run.train_epoch(data["train"], penalties, watch)
            report(run.validate(data["validation"], watch))
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _too_large(settings, folder) from error
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        raise _too_large(settings, folder) from error
    network.load_state_dict(load(folder / "best.pt"))
    if plot.can_draw():
        plot.draw(folder, folder / "training_curves.png", selected_by="error")
    return run.seconds


def predict(network: ConvolutionalNetwork, inputs: NDArray[np.float16]) -> NDArray[np.float64]:
    """Return the probability of class 1 [shape=(n,)]."""
    p: NDArray[np.float64] = _log_probabilities(network, inputs)[:, 1].double().exp().numpy()
    return p


def _log_probabilities(network: ConvolutionalNetwork, inputs: NDArray[np.float16]) -> Tensor:
    device = network.mean.device
    network.eval()
    with torch.inference_mode():
        parts = [
            network(_tensor(inputs[first : first + _PREDICTED], device)).cpu()
            for first in range(0, len(inputs), _PREDICTED)
        ]
    return torch.cat(parts)


class _Run:
    """A training in progress."""

    def __init__(
        self, network: ConvolutionalNetwork, settings: Settings, folder: Path, key: str
    ) -> None:
        # With the channels last in memory, convolutions take a third less time.
        self.network = network.to(memory_format=torch.channels_last)
        self.settings, self.folder, self.key = settings, folder, key
        self.optimiser = torch.optim.SGD(
            network.parameters(), lr=settings.rate, momentum=settings.momentum
        )
        self.epoch, self.seconds, self.best = 0, 0.0, math.inf
        self.batches: list[tuple[float, float]] = []
        self.validations: list[tuple[int, float, float, float, float]] = []
        if (folder / "state.pt").exists():
            self._restore(load(folder / "state.pt"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            save(network.state_dict(), folder / "initial.pt")

    def train_epoch(
        self, data: Labelled, penalties: Sequence[Penalty], watch: Watch | None
    ) -> None:
        """Pass once over the training windows."""
        began = time.perf_counter()
        self.network.train()
        device = self.network.mean.device
        for chosen in _batches(len(data.classes), self.settings, self.epoch):
            classes = torch.from_numpy(data.classes[chosen]).to(device)
            targets = torch.from_numpy(data.targets[chosen]).to(device)
            scores = self.network(_tensor(data.inputs[chosen], device))
            cost = -(targets * scores[:, 1] + (1 - targets) * scores[:, 0]).mean()
            total = cost + regularisation.total(self.network, penalties)
            self.optimiser.zero_grad()
            total.backward()
            self.optimiser.step()
            error = (scores.detach().argmax(1) != classes).float().mean().item()
            self.batches.append((cost.item(), error))
            if watch is not None:
                metrics = {"train cost": cost.item(), "train error": error}
                watch(len(self.batches), metrics | {"train cost with penalties": total.item()})
        self.epoch += 1
        self.seconds += time.perf_counter() - began

    def validate(self, data: Labelled, watch: Watch | None) -> str:
        """Validate, save every file of the training, and return a line about it."""
        scores = _log_probabilities(self.network, data.inputs)
        classes = torch.from_numpy(data.classes)
        cost = nn.functional.nll_loss(scores, classes).item()
        error = (scores.argmax(1) != classes).float().mean().item()
        if not math.isfinite(cost):
            raise ConfigError(
                f"{self.folder}: the cost is {cost} after epoch {self.epoch}: set a lower "
                "training.rate, or a weaker penalty"
            )
        recent = self.batches[-(len(self.batches) // self.epoch) :]
        train_cost = float(np.mean([each for each, _ in recent]))
        state = self.network.state_dict()
        if error < self.best:
            self.best = error
            save(state, self.folder / "best.pt")
        save(state, self.folder / "last.pt")
        self.validations.append((len(self.batches), train_cost, cost, error, self.best))
        write_table(self.folder / "validations.csv", VALIDATIONS, self.validations)
        numbered = ((number, *row) for number, row in enumerate(self.batches, 1))
        write_table(self.folder / "batches.csv", BATCHES, numbered)
        save(
            {
                "key": self.key, "epoch": self.epoch, "seconds": self.seconds, "best": self.best,
                "batches": self.batches, "validations": self.validations,
                "network": state, "optimiser": self.optimiser.state_dict(),
            },
            self.folder / "state.pt",
        )  # fmt: skip
        if watch is not None:
            metrics = {"validation cost": cost, "validation error": error, "best": self.best}
            watch(len(self.batches), metrics)
        return (
            f"epoch {self.epoch} of {self.settings.epochs}: train cost {train_cost:.4f}, "
            f"validation cost {cost:.4f}, error {error:.2%} (best {self.best:.2%})"
        )

    def _restore(self, state: Mapping[str, Any]) -> None:
        if state.get("key") != self.key:
            raise ConfigError(
                f"{self.folder} holds a training of other windows, layers or settings: name "
                "another --folder, or remove it to train anew"
            )
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.epoch, self.seconds, self.best = state["epoch"], state["seconds"], state["best"]
        self.batches = [(float(cost), float(error)) for cost, error in state["batches"]]
        self.validations = [tuple(row) for row in state["validations"]]


def _batches(count: int, settings: Settings, epoch: int) -> Iterator[NDArray[np.intp]]:
    """Yield the places of each batch's windows, in an order of the seed and the epoch."""
    order = np.random.default_rng([settings.seed, epoch]).permutation(count)
    for first in range(0, count, settings.batch):
        # In the order of the file, which is read from disk.
        yield np.sort(order[first : first + settings.batch])


def _tensor(values: NDArray[np.float16], device: torch.device) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32)).to(device)


def _too_large(settings: Settings, folder: Path) -> ConfigError:
    return ConfigError(
        f"{folder}: a batch of {settings.batch} windows needs more memory than {settings.device} "
        "has: set a smaller training.batch in the file of the experiment; what is trained is kept"
    )
