"""The plan of `airsift train`: settings, labels, training data and their keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from model.corpus import cache, feature_store, recordings, takes
from model.corpus.sources import KINDS
from model.spec import LABELS
from model.training import dataset, mixer, record, validation

if TYPE_CHECKING:
    from pathlib import Path

    from model.corpus.feature_store import FeatureStore
    from model.corpus.sources import Split
    from model.training.config import Task
    from model.training.loop import Settings, WindowSource
    from model.training.record import TrainingData

# The code of a training, including all modules that these import.
CODE = ("model.training.loop", "model.training.dataset", "model.evaluation.conditions")
SPLITS: tuple[Split, ...] = ("train", "validation")


@dataclass(frozen=True, slots=True)
class Plan:
    """The inputs of a training.

    Parameters
    ----------
    settings : Settings
        Hyperparameters.
    labels : tuple of str
        Names of the outputs.
    input_keys : mapping of str to str
        Keys of the columns, the validation windows, the configuration and the code.
    prepare : callable
        Computes the training columns in the folder of the training, unless they are up to date,
        and returns the training data.
    mix : callable, optional
        Makes the mixer of a store; default: one for speech and music.
    """

    settings: Settings
    labels: tuple[str, ...]
    input_keys: Mapping[str, str]
    prepare: Callable[[Path], TrainingData]
    mix: Callable[[FeatureStore, frozenset[int]], WindowSource] | None = None


def shipped(folder: Path, settings: Settings) -> Plan:
    """Plan a network for speech and music, from a corpus.

    Raises
    ------
    ConfigError
        The corpus is incomplete, or a class is missing.
    """
    columns = feature_store.open_training_store(folder)
    held_out = validation.of_corpus(folder)

    def data(_: Path) -> TrainingData:
        rows = {
            split: [e for e in takes.split_recordings(folder, split) if e.kind in KINDS]
            for split in SPLITS
        }
        return record.TrainingData(
            rows, recordings.sources(folder), columns, held_out, LABELS, mixer.CLASSES, {}
        )

    keys = _keys(feature_store.training_key(folder), held_out, "speech and music")
    return Plan(settings, LABELS, keys, data)


def custom(folder: Path, config: Path, task: Task, report: Callable[[str], None]) -> Plan:
    """Plan a network for a user's labels; decode the changed files of the manifest.

    Raises
    ------
    ConfigError
        The manifest or the corpus cannot be read, or a class is missing.
    """
    dataset.decode_manifest(task, folder, report)
    held_out = dataset.validation(task, folder)
    about = record.config_of(config, task.data)

    def data(place: Path) -> TrainingData:
        columns = dataset.build(task, folder, place / "features", report)
        rows = {
            split: [
                replace(each, kind=dataset.kind_of(task, each))
                for each in dataset.recordings(task, folder, split)
            ]
            for split in SPLITS
        }
        sources = recordings.sources(folder)
        if task.manifest is not None:
            sources |= recordings.sources(folder / dataset.manifest_folder(task))
        return record.TrainingData(
            rows, sources, columns, held_out, task.labels, task.classes, about
        )

    keys = _keys(dataset.key_of(task, folder), held_out, task.key)
    return Plan(task.settings, task.labels, keys, data, task.mixer)


def _keys(columns: str, held_out: validation.Validation, windows: str) -> dict[str, str]:
    return {
        "the training columns": columns,
        "the validation windows": validation.key_of(held_out),
        "the configuration": cache.key_of(windows),
        "the code": cache.code_version(*CODE),
    }
