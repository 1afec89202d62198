"""What `airsift train` is about to do: from what, how, and the keys of all that it learns from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from model.corpus import cache, feature_store, recordings
from model.corpus.sources import KINDS
from model.evaluation import conditions
from model.training import dataset, mixer, record, validation

if TYPE_CHECKING:
    from pathlib import Path

    from model.corpus.feature_store import Bank
    from model.corpus.sources import Split
    from model.training.config import Task
    from model.training.loop import Mixes, Settings
    from model.training.record import Used

# Windows of a condition that decide which state of the shipped network is kept.
WINDOWS = 120
# What the code of a training is: a network is of one version of it, interrupted or not.
CODE = ("model.training.loop", "model.training.dataset", "model.evaluation.conditions")
USED: tuple[Split, ...] = ("train", "validation")


@dataclass(frozen=True, slots=True)
class Plan:
    """A training before it begins.

    Parameters
    ----------
    settings : Settings
        How to train.
    labels : tuple of str
        Names of the outputs.
    learnt_from : mapping of str to str
        Keys of the columns, the validation windows, the windows' recipe and the code.
    open_bank : callable
        Computes the training columns where they have changed, in the folder of the training, and
        returns all that the training is given.
    mix : callable, optional
        Makes what draws windows from the bank; by default one of speech and music.
    """

    settings: Settings
    labels: tuple[str, ...]
    learnt_from: Mapping[str, str]
    open_bank: Callable[[Path], Used]
    mix: Callable[[Bank, frozenset[int]], Mixes] | None = None


def shipped(folder: Path, settings: Settings) -> Plan:
    """Plan a network for speech and music, from what `airsift corpus build` made.

    Raises
    ------
    ConfigError
        The corpus is not whole, or a class is missing.
    """
    columns = feature_store.open_train(folder)
    made = conditions.conditions(folder, "validation", most=WINDOWS)
    held_out = validation.validation_set(made)

    def used(_: Path) -> Used:
        rows = {
            split: [e for e in feature_store.checked_recordings(folder, split) if e.kind in KINDS]
            for split in USED
        }
        return record.Used(
            rows, recordings.sources(folder), columns, held_out, mixer.LABELS, mixer.CLASSES, {}
        )

    keys = _keys(feature_store.key_of(folder, "train"), held_out, "speech and music")
    return Plan(settings, mixer.LABELS, keys, used)


def own(folder: Path, config: Path, task: Task, report: Callable[[str], None]) -> Plan:
    """Plan a network of a user's own labels; the manifest is decoded as far as it has changed.

    Raises
    ------
    ConfigError
        The manifest or the corpus cannot be read, or a class is missing.
    """
    dataset.decode(task, folder, report)
    held_out = dataset.validation(task, folder)
    about = record.config_of(config, task.data)

    def used(place: Path) -> Used:
        columns = dataset.build(task, folder, place / "bank", report)
        rows = {
            split: [
                replace(each, kind=dataset.kind_of(task, each))
                for each in dataset.recordings(task, folder, split)
            ]
            for split in USED
        }
        sources = recordings.sources(folder)
        if task.manifest is not None:
            sources |= recordings.sources(folder / dataset.own_folder(task))
        return record.Used(rows, sources, columns, held_out, task.labels, task.classes, about)

    keys = _keys(dataset.key_of(task, folder), held_out, task.key)
    return Plan(task.settings, task.labels, keys, used, task.mixer)


def _keys(columns: str, held_out: validation.Validation, windows: str) -> dict[str, str]:
    return {
        "the training columns": columns,
        "the validation windows": validation.key_of(held_out),
        "the configuration": cache.key_of(windows),
        "the code": cache.code_version(*CODE),
    }
