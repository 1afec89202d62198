"""Training: windows from the mixer, a steady average of the weights, the best state by validation.

The windows of step k follow from the seed and k alone, so training that was interrupted goes
on as if it had not been, and the same seed gives the same network.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from airsift.errors import ConfigError
from model.training import boundary_head
from model.training.checkpoint import Progress
from model.training.mixer import LABELS, Mixer
from model.training.mixture import BOUNDARIES
from model.training.validation import (
    calibrate,
    condition_cost,
    condition_error,
    disagreeing,
    log_odds,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

    from model.corpus.feature_store import Bank
    from model.training.validation import Validation


class Mixes(Protocol):
    """Whatever makes training windows."""

    def batch(self, size: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return columns and what is heard in each, as the state of `random` draws them."""


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
    weight_decay : float >= 0
        By which weights shrink that nothing needs, as a share of the learning rate.
    validate_every : int > 0
        Steps between validations.
    clean_at : float in [0, 1]
        Share of the steps after which mislabelled streams are dropped; 1 never drops.
    seed : int >= 0
        Of everything drawn.
    network : str
        One of `model.networks.presets.PRESETS`.
    device : str
        'cpu' or 'cuda'.
    """

    steps: int = 1600
    batch: int = 64
    rate: float = 3e-3
    decay: float = 0.995
    weight_decay: float = 0.02
    validate_every: int = 200
    clean_at: float = 0.4
    seed: int = 1
    network: str = "pooled"
    device: str = "cpu"


def train(
    bank: Bank,
    held_out: Validation,
    settings: Settings,
    folder: Path,
    report: Callable[[str], None] = print,
    *,
    labels: tuple[str, ...] = LABELS,
    mix: Callable[[Bank, frozenset[int]], Mixes] | None = None,
    watch: Callable[[int, Mapping[str, float]], None] | None = None,
    learnt_from: Mapping[str, str] | None = None,
) -> Any:
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
        Where `model.training.checkpoint` keeps its files.
    report : callable
        Is given one line at each validation.
    labels : tuple of str
        Names of the outputs.
    mix : callable, optional
        Makes a mixer of the bank without the streams at some places; by default one of speech
        and music.
    watch : callable, optional
        Is given the step and its figures by name, after each batch and each validation.
    learnt_from : mapping of str to str, optional
        Keys of the bank, of the validation windows and of how windows are made.

    Returns
    -------
    nn.Module
        The best state, calibrated on the validation windows, its moments taught last.

    Raises
    ------
    ConfigError
        The folder holds a training with other settings or material, or cannot be written to.
    """
    if labels != LABELS and settings.clean_at < 1:
        raise ConfigError(
            f"clean_at={settings.clean_at} with the labels {', '.join(labels)}: mislabelled "
            "streams are found by speech and music only; set it to 1"
        )
    make = mix or (lambda bank, dropped: Mixer(bank, dropped=dropped))
    told = watch or (lambda step, figures: None)
    run, ahead = Progress(settings, labels, folder, learnt_from), _Ahead(settings)
    mixer = make(bank, frozenset(run.dropped))
    while run.step < settings.steps:
        figures = run.learn(*ahead.batch(mixer, run.step))
        told(run.step, figures)
        if run.step == int(settings.clean_at * settings.steps) < settings.steps:
            run.dropped = disagreeing(run.average, bank, settings.device)
            mixer = make(bank, frozenset(run.dropped))
            groups = {bank.streams[place].group for place in run.dropped}
            report(f"left out as mislabelled: {sorted(groups)}")
        if run.step % settings.validate_every == 0 or run.step == settings.steps:
            scores = log_odds(run.average, held_out.columns, settings.device)
            cost, error = condition_cost(scores, held_out), condition_error(scores, held_out)
            told(run.step, run.validated(cost, error))
            report(f"step {run.step}: train cost {run.cost:.4f}, validation cost {cost:.4f} "
                   f"(best {run.best:.4f}), error {error:.2%}")  # fmt: skip
    network = run.best_network()
    calibrate(network, held_out)
    if network.moments:
        dropped = frozenset(run.dropped)
        near = mix(bank, dropped) if mix else Mixer(bank, dropped=dropped, ways=BOUNDARIES)
        report(f"moments: train cost {_teach_moments(network, near, settings):.4f}")
    return network


def _teach_moments(network: Any, near: Mixes, settings: Settings) -> float:
    cost = boundary_head.fit(
        network.to(settings.device), near,
        steps=settings.steps, batch=settings.batch, seed=settings.seed,
    )  # fmt: skip
    network.cpu()
    return cost


class _Ahead:
    """Draws the windows of the next step while the network learns from those of this one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._worker = ThreadPoolExecutor(1)
        self._next: tuple[Mixes, int, Future[tuple[Tensor, Tensor]]] | None = None

    def batch(self, mixer: Mixes, step: int) -> tuple[Tensor, Tensor]:
        """Return the windows of a step; they follow from the mixer, the seed and the step."""
        drawn = self._next
        if drawn is None or drawn[0] is not mixer or drawn[1] != step:
            drawn = (mixer, step, self._draw(mixer, step))
        self._next = (mixer, step + 1, self._draw(mixer, step + 1))
        return drawn[2].result()

    def _draw(self, mixer: Mixes, step: int) -> Future[tuple[Tensor, Tensor]]:
        random = np.random.default_rng([self._settings.seed, step])
        return self._worker.submit(mixer.batch, self._settings.batch, random)
