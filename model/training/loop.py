"""The training loop: windows from the mixer, EMA of the weights, selection by validation.

The windows of step k depend only on the seed and k, so that an interrupted training resumes
exactly, and the same seed gives the same network.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from airsift.errors import ConfigError
from model.spec import LABELS
from model.training import batch_statistics, boundary_head
from model.training.checkpoint import TrainingRun
from model.training.mixer import Mixer
from model.training.mixture import BOUNDARY_RECIPES
from model.training.validation import (
    calibrate,
    condition_cost,
    condition_error,
    find_mislabelled,
    log_odds,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from model.corpus.feature_store import FeatureStore
    from model.training.mixer import Batch
    from model.training.validation import Validation


class WindowSource(Protocol):
    """Generates training windows."""

    def batch(self, size: int, random: np.random.Generator) -> Batch:
        """Return windows, drawn from `random`; see `Mixer.batch`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Hyperparameters of a training.

    Parameters
    ----------
    steps : int > 0
        Number of batches.
    batch : int > 0
        Windows of a batch.
    rate : float > 0
        Maximum learning rate; it rises for 5 % of the steps and falls as a cosine.
    decay : float in (0, 1)
        Decay of the EMA of the weights.
    weight_decay : float >= 0
        Weight decay of AdamW.
    validate_every : int > 0
        Steps between validations.
    filter_labels_at : float in [0, 1]
        Share of the steps after which mislabelled takes are dropped; 0 or 1: never.
    seed : int >= 0
        Random seed.
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
    filter_labels_at: float = 1.0
    seed: int = 1
    network: str = "pooled"
    device: str = "cpu"


def train(
    store: FeatureStore,
    held_out: Validation,
    settings: Settings,
    folder: Path,
    report: Callable[[str], None] = print,
    *,
    labels: tuple[str, ...] = LABELS,
    mix: Callable[[FeatureStore, frozenset[int]], WindowSource] | None = None,
    watch: Callable[[int, Mapping[str, float]], None] | None = None,
    input_keys: Mapping[str, str] | None = None,
) -> Any:
    """Train a network, or resume a training.

    Parameters
    ----------
    store : FeatureStore
        Columns of the training takes.
    held_out : Validation
        Validation windows; never those of the test split.
    settings : Settings
        Hyperparameters.
    folder : Path
        Files of `model.training.checkpoint`.
    report : callable
        Receives a line at each validation.
    labels : tuple of str
        Names of the outputs.
    mix : callable, optional
        Makes the mixer of a store without the takes at some indices; default: one for speech
        and music.
    watch : callable, optional
        Receives the step and its metrics, after each batch and each validation.
    input_keys : mapping of str to str, optional
        Keys of all inputs, by name.

    Returns
    -------
    nn.Module
        The best state, calibrated on the validation windows, with a fine-tuned boundary head.

    Raises
    ------
    ConfigError
        The folder holds a training with other settings or inputs, or cannot be written.
    """
    if labels != LABELS and settings.filter_labels_at < 1:
        raise ConfigError(
            f"filter_labels_at={settings.filter_labels_at} with the labels {', '.join(labels)}: "
            "the label-noise filter is for speech and music only; set it to 1"
        )
    make = mix or (lambda store, dropped: Mixer(store, dropped=dropped))
    log = watch or (lambda step, metrics: None)
    run, ahead = TrainingRun(settings, labels, folder, input_keys), _Prefetcher(settings)
    mixer = make(store, frozenset(run.dropped))
    while run.step < settings.steps:
        metrics = run.train_step(ahead.batch(mixer, run.step))
        log(run.step, metrics)
        if run.step == int(settings.filter_labels_at * settings.steps) < settings.steps:
            run.dropped = find_mislabelled(run.average, store, settings.device)
            mixer = make(store, frozenset(run.dropped))
            groups = {store.takes[place].group for place in run.dropped}
            report(f"removed as mislabelled: {sorted(groups)}")
        if run.step % settings.validate_every == 0 or run.step == settings.steps:
            scores = log_odds(run.average, held_out.columns, settings.device)
            cost, error = condition_cost(scores, held_out), condition_error(scores, held_out)
            log(run.step, run.log_validation(cost, error))
            report(f"step {run.step}: train cost {run.cost:.4f}, validation cost {cost:.4f} "
                   f"(best {run.best:.4f}), error {error:.2%}")  # fmt: skip
    network = run.best_network()
    batch_statistics.reestimate(
        network.to(settings.device), mixer, batch=max(2, settings.batch), seed=settings.seed
    )
    calibrate(network.cpu(), held_out)
    if network.moments:
        dropped = frozenset(run.dropped)
        near = (
            mix(store, dropped) if mix else Mixer(store, dropped=dropped, recipes=BOUNDARY_RECIPES)
        )
        report(f"boundary head: train cost {_fit_boundary_head(network, near, settings):.4f}")
    return network


def _fit_boundary_head(network: Any, near: WindowSource, settings: Settings) -> float:
    cost = boundary_head.fit(
        network.to(settings.device), near,
        steps=settings.steps, batch=settings.batch, seed=settings.seed,
    )  # fmt: skip
    network.cpu()
    return cost


class _Prefetcher:
    """Generates the windows of the next step during the current one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._worker = ThreadPoolExecutor(1)
        self._next: tuple[WindowSource, int, Future[Batch]] | None = None

    def batch(self, mixer: WindowSource, step: int) -> Batch:
        """Return the windows of a step; they depend on mixer, seed and step only."""
        drawn = self._next
        if drawn is None or drawn[0] is not mixer or drawn[1] != step:
            drawn = (mixer, step, self._draw(mixer, step))
        self._next = (mixer, step + 1, self._draw(mixer, step + 1))
        return drawn[2].result()

    def _draw(self, mixer: WindowSource, step: int) -> Future[Batch]:
        random = np.random.default_rng([self._settings.seed, step])
        return self._worker.submit(mixer.batch, self._settings.batch, random)
