"""What the networks of an experiment lose by changes of the test windows that leave their class.

The report hopes that the CQT is better than the STFT under transposition, which only shifts it.
Accuracy is the share of windows whose likelier class is right; both classes have equally many. The
hope is decided by two differences over all transpositions, each with its interval of a bootstrap
over groups: that of the accuracies, and that of what is lost against the unchanged windows.

::

    FOLDER/SCALE/NAME/
      changes/CHANGE.json     probabilities of each row and seed: the change is done
      table.md, table.json, curves.png
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from airsift.errors import ConfigError
from airsift.files import write_whole
from model.corpus import cache
from model.experiments import config, runner, trainer
from model.experiments.architecture import ConvolutionalNetwork
from model.experiments.config import Statement
from model.experiments.features import catalogue, store
from model.experiments.transformations import KINDS, Change, changed
from model.training import states

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from model.evaluation.metrics import Numbers
    from model.experiments.config import Experiment, Row
    from model.experiments.runner import Place, RowResults, Watcher
    from model.experiments.windows import Windows

CODE = "model.experiments.transformations"
LIBRARIES = ("av", "numpy", "scipy", "soxr")
_BATCH = 16  # windows


class _Changes(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    transposition: Annotated[list[float], Field(min_length=1)]
    tempo: list[float] = []
    level: list[float] = []
    tilt: list[float] = []
    bass: list[float] = []
    treble: list[float] = []

    def listed(self) -> list[Change]:
        return [Change(kind, amount) for kind in KINDS for amount in getattr(self, kind)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    question: str
    finding: Statement
    experiment: str
    better: str
    than: str
    changes: _Changes
    tiny: _Changes


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Which networks are compared, and under which changes.

    Parameters
    ----------
    name : str
        The name of its file.
    title, question : str
        For its page.
    finding : Statement
        What is hoped: that the first row is better under transposition.
    experiment : Experiment
        With two rows: the one that is hoped to be better, and the other one.
    changes : list of Change
        Without the identity.
    """

    name: str
    title: str
    question: str
    finding: Statement
    experiment: Experiment
    changes: list[Change]


@dataclass(frozen=True, slots=True)
class Measured:
    """Probabilities of the test windows, unchanged and changed.

    Parameters
    ----------
    names : tuple of str
        Of the rows.
    test : Windows
        The windows.
    unchanged : np.ndarray [shape=(rows, seeds, windows)]
        Probability of the positive class.
    changed : mapping of Change to np.ndarray
        The same of the changed windows.
    """

    names: tuple[str, ...]
    test: Windows
    unchanged: Numbers
    changed: Mapping[Change, Numbers]


# Networks of each row, one for each seed, and the name of their feature.
Networks = dict[str, tuple[str, "Sequence[ConvolutionalNetwork]"]]


def load(path: Path, scale: str) -> Comparisons:
    """Read a comparison under changes, a file of the form of ``invariances.toml``.

    Parameters
    ----------
    path : Path
        The file. The experiment that it names is one of the project's, or a file beside it.
    scale : str
        'tiny' has its own, shorter list of changes.

    Raises
    ------
    ConfigError
        A key, a name or a value is wrong.
    """
    read = config.parsed(path, _File)
    beside = path.parent / read.experiment
    experiment = config.load(beside if beside.is_file() else config.find(read.experiment))
    named = {row.name: row for row in experiment.rows}
    for name in (read.better, read.than):
        if name not in named:
            raise ConfigError(
                f"{path}: {name!r} is no row of {experiment.name}: use one of {', '.join(named)}"
            )
        if named[name].layers is None:
            raise ConfigError(f"{path}: the row {name!r} is no network: name one that is")
    rows = (named[read.better], named[read.than])
    if rows[0].split != rows[1].split:
        raise ConfigError(f"{path}: {read.better!r} and {read.than!r} have other test windows")
    chosen = read.tiny if scale == "tiny" else read.changes
    changes = [each for each in chosen.listed() if not each.is_identity]
    return Comparisons(
        path.stem, read.title, read.question, read.finding, replace(experiment, rows=rows), changes
    )


def run(
    of: Comparisons,
    place: Place,
    report: Callable[[str], None],
    watcher: Watcher | None = None,
) -> Measured:
    """Train what is missing of the two rows, and measure what is missing of the changes.

    Raises
    ------
    ConfigError
        As for `runner.run`. What was done stays.
    """
    results = runner.run(of.experiment, place, report, watcher)
    networks: Networks = {
        each.row.name: (each.row.feature, _trained(of.experiment, each, place)) for each in results
    }
    test = results[0].test
    if results[1].test.key != test.key:
        raise ConfigError(
            f"{of.name}: the windows of {results[0].row.name!r} and {results[1].row.name!r} have "
            "other lengths: compare features of one length"
        )
    keys = [result.key for each in results for result in each.results]
    folder = place.folder / of.name / "changes"
    return measure(
        networks, test, of.changes, folder, keys, partial(runner.report_as, report, of.name)
    )


def measure(
    networks: Networks,
    test: Windows,
    changes: Sequence[Change],
    folder: Path,
    keys: Sequence[str],
    report: Callable[[str], None],
) -> Measured:
    """Return the probabilities of all networks under all changes.

    Parameters
    ----------
    networks : dict of str to (str, sequence of ConvolutionalNetwork)
        By row: the feature, and a network for each seed, equally many in each row.
    test : Windows
        The windows.
    changes : sequence of Change
        The changes.
    folder : Path
        A file for each change that is done.
    keys : sequence of str
        Hashes of the networks.
    report : callable
        Receives a line for each change that is measured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    code = sorted({name for each, _ in networks.values() for name in catalogue.make(each).code})
    key = cache.key_of(
        test.key, list(keys), cache.code_version(CODE, *code),
        cache.libraries(*LIBRARIES, *store.LIBRARIES),
    )  # fmt: skip
    found: dict[Change, Numbers] = {}
    nothing = Change("level", 0.0)
    wanted = [nothing, *changes]
    for number, change in enumerate(wanted, 1):
        name = "unchanged" if change is nothing else change.name
        file = folder / f"{name.replace(' ', '-')}.json"
        there = _read(file, key)
        if there is None:
            report(f"{number} of {len(wanted)}, {name}")
            there = _predicted(networks, test, change)
            values = {"key": key, "p": there.tolist()}
            write_whole(file, json.dumps(values).encode())
        found[change] = there
    return Measured(tuple(networks), test, found.pop(nothing), found)


def _trained(
    experiment: Experiment, results: RowResults, place: Place
) -> list[ConvolutionalNetwork]:
    return [
        network_of(experiment, results.row, result.key, seed, place)
        for seed, result in enumerate(results.results, 1)
    ]


def network_of(
    experiment: Experiment, row: Row, key: str, seed: int, place: Place
) -> ConvolutionalNetwork:
    """Return the best state of a network, where it was trained.

    A row that two experiments share is trained in one of them, and its result has the same key in
    both.

    Raises
    ------
    ConfigError
        Its file is gone.
    """
    home = runner.row_folder(experiment, row, place.folder) / f"seed-{seed}"
    others = sorted(place.folder.glob(f"*/*/seed-{seed}"))
    for folder in (home, *others):
        state = folder / "best.pt"
        if state.is_file() and _key_in(folder / runner.RESULT) == key:
            assert row.layers is not None
            network = ConvolutionalNetwork(catalogue.make(row.feature).shape, row.layers)
            network.load_state_dict(states.load(state))
            return network.to(place.device)
    raise ConfigError(
        f"{home / 'best.pt'} is gone: remove {runner.RESULT} and state.pt beside it, and start "
        "again to train it anew"
    )


def _key_in(path: Path) -> str:
    try:
        return str(json.loads(path.read_bytes())["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _predicted(networks: Networks, test: Windows, change: Change) -> Numbers:
    """Return the probabilities of one change [shape=(rows, seeds, windows)]."""
    features = {feature: catalogue.make(feature) for feature, _ in networks.values()}
    parts = []
    for first in range(0, len(test), _BATCH):
        last = min(first + _BATCH, len(test))
        samples = torch.from_numpy(changed(test, first, last, change))
        # As the features that the networks were trained on are stored.
        inputs = {name: of(samples).numpy().astype(np.float16) for name, of in features.items()}
        parts.append(
            [
                [trainer.predict(network, inputs[feature]) for network in each]
                for feature, each in networks.values()
            ]
        )
    return np.concatenate([np.array(part) for part in parts], axis=2)


def _read(file: Path, key: str) -> Numbers | None:
    try:
        read = json.loads(file.read_bytes())
        return np.array(read["p"], np.float64) if read["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
