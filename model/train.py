"""Training: windows from the mixer, a steady average of the weights, the best state by validation.

The windows of step k follow from the seed and k alone, so training that was interrupted goes
on as if it had not been, and the same seed gives the same network.
"""

from __future__ import annotations

import csv
import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from airsift.errors import ConfigError
from model.mixing import Mixer
from model.network import Network
from model.selection import calibrate, condition_cost, condition_error, disagreeing, log_odds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor

    from model.bank import Bank
    from model.selection import Validation


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train.

    Parameters
    ----------
    steps : int > 0
        Batches.
    batch : int > 0
        Windows of a batch.
    rate : float > 0
        Highest learning rate; it rises for 5 % of the steps and falls as a cosine.
    decay : float in (0, 1)
        Of the running average of the weights that is validated and kept.
    validate_every : int > 0
        Steps between validations.
    clean_at : float in [0, 1]
        Share of the steps after which mislabelled streams are dropped; 1 never drops.
    seed : int >= 0
        Of everything drawn.
    device : str
        'cpu' or 'cuda'.
    """

    steps: int = 1600
    batch: int = 64
    rate: float = 3e-3
    decay: float = 0.995
    validate_every: int = 200
    clean_at: float = 0.4
    seed: int = 1
    device: str = "cpu"


def train(
    bank: Bank,
    held_out: Validation,
    settings: Settings,
    folder: Path,
    report: Callable[[str], None] = print,
) -> Network:
    """Train a network, or go on with one.

    Parameters
    ----------
    bank : Bank
        Columns of the training streams.
    held_out : Validation
        Windows that choose the state to keep; never those of the test.
    settings : Settings
        How.
    folder : Path
        Where the state, the sheet of figures and the initial, best and last network go.
    report : callable
        Is given one line at each validation.

    Returns
    -------
    Network
        The best state, calibrated on the validation windows.

    Raises
    ------
    ConfigError
        The folder holds a training with other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run, ahead = _Run(settings, folder), _Ahead(settings)
    mixer = Mixer(bank, dropped=frozenset(run.dropped))
    while run.step < settings.steps:
        run.one_step(*ahead.batch(mixer, run.step))
        if run.step == int(settings.clean_at * settings.steps):
            run.dropped = disagreeing(run.average, bank, settings.device)
            mixer = Mixer(bank, dropped=frozenset(run.dropped))
            report(f"left out as mislabelled: {sorted(_groups(bank, run.dropped))}")
        if run.step % settings.validate_every == 0 or run.step == settings.steps:
            scores = log_odds(run.average, held_out.columns, settings.device)
            cost, error = condition_cost(scores, held_out), condition_error(scores, held_out)
            run.validated(cost, error)
            report(f"step {run.step}: train cost {run.cost:.4f}, validation cost {cost:.4f} "
                   f"(best {run.best:.4f}), error {error:.2%}")  # fmt: skip
    network = Network()
    network.load_state_dict(torch.load(folder / "best.pt", weights_only=True))
    calibrate(network, held_out)
    return network


class _Ahead:
    """Draws the windows of the next step while the network learns from those of this one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._worker = ThreadPoolExecutor(1)
        self._next: tuple[Mixer, int, Future[tuple[Tensor, Tensor]]] | None = None

    def batch(self, mixer: Mixer, step: int) -> tuple[Tensor, Tensor]:
        """Return the windows of a step; they follow from the mixer, the seed and the step."""
        drawn = self._next
        if drawn is None or drawn[0] is not mixer or drawn[1] != step:
            drawn = (mixer, step, self._draw(mixer, step))
        self._next = (mixer, step + 1, self._draw(mixer, step + 1))
        return drawn[2].result()

    def _draw(self, mixer: Mixer, step: int) -> Future[tuple[Tensor, Tensor]]:
        random = np.random.default_rng([self._settings.seed, step])
        return self._worker.submit(mixer.batch, self._settings.batch, random)


class _Run:
    """A training in progress: everything that must survive an interruption."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        torch.manual_seed(settings.seed)
        self.network = Network().to(settings.device)
        self.average = Network().to(settings.device)
        self.average.load_state_dict(self.network.state_dict())
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=settings.rate, weight_decay=0.02
        )
        self.step, self.cost, self.best = 0, math.nan, math.inf
        self.dropped: set[int] = set()
        if (folder / "state.pt").exists():
            self._restore(torch.load(folder / "state.pt", weights_only=True))
        else:
            torch.save(self.network.state_dict(), folder / "initial.pt")
            self._sheet("w", ("step", "train_cost", "validation_cost", "validation_error", "best"))

    def one_step(self, columns: Tensor, targets: Tensor) -> None:
        """Learn from the windows of the next step."""
        settings = self.settings
        torch.manual_seed(settings.seed * 1_000_003 + self.step)
        self.network.train()
        for group in self.optimiser.param_groups:
            group["lr"] = settings.rate * _schedule(self.step / settings.steps)
        scores = self.network(columns.to(settings.device))
        cost = nn.functional.binary_cross_entropy_with_logits(scores, targets.to(settings.device))
        self.optimiser.zero_grad()
        cost.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimiser.step()
        self.step += 1
        value = float(cost.detach())
        self.cost = value if math.isnan(self.cost) else 0.98 * self.cost + 0.02 * value
        self._follow()

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

    def validated(self, cost: float, error: float) -> None:
        """Note a validation, keep the average if its cost is the lowest, store the state."""
        if cost < self.best:
            self.best = cost
            torch.save(self.average.state_dict(), self.folder / "best.pt")
        torch.save(self.average.state_dict(), self.folder / "last.pt")
        self._sheet(
            "a", (self.step, f"{self.cost:.5f}", f"{cost:.5f}", f"{error:.5f}", f"{self.best:.5f}")
        )
        partial = self.folder / "state.pt.partial"
        torch.save(
            {
                "settings": asdict(self.settings), "step": self.step, "cost": self.cost,
                "best": self.best, "dropped": sorted(self.dropped),
                "network": self.network.state_dict(), "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
            },
            partial,
        )  # fmt: skip
        partial.replace(self.folder / "state.pt")

    def _restore(self, state: dict[str, Any]) -> None:
        if state["settings"] != asdict(self.settings):
            raise ConfigError(
                f"{self.folder} holds a training with other settings ({state['settings']}): "
                "use those, or another folder"
            )
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.cost, self.best = state["step"], state["cost"], state["best"]
        self.dropped = set(state["dropped"])

    def _sheet(self, mode: str, row: Sequence[object]) -> None:
        with (self.folder / "sheet.csv").open(mode, newline="", encoding="utf-8") as out:
            csv.writer(out, lineterminator="\n").writerow(row)


def _schedule(share: float) -> float:
    """Learning rate over the training, as a share of the highest."""
    rise = 0.05
    if share < rise:
        return (share + 0.002) / (rise + 0.002)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (share - rise) / (1 - rise)))


def _groups(bank: Bank, places: set[int]) -> set[str]:
    return {bank.streams[place][0] for place in places}
