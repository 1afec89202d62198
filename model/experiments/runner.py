"""Run an experiment: its windows, its features, and each row with each seed.

::

    FOLDER/SCALE/
      features/              features of windows, shared by rows and experiments
      NAME/
        ROW/seed-N/          see `model.experiments.trainer`
        ROW/seed-N/result.json   predictions of the test windows: the row is done
        table.md, table.json, curves.png   written by `model.experiments.kinds`

A row with an up-to-date result, here or in another experiment, is not run again: an interrupted
experiment continues, and a row that two tables share is trained once. Experiments that run at once
wait for each other's recordings, features and trainings.
"""

from __future__ import annotations

import functools
import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from airsift.errors import ConfigError
from airsift.files import write_whole
from model.corpus import cache, teacher
from model.corpus.sources import SPLITS
from model.experiments import config, distillation, trainer, windows
from model.experiments.architecture import ConvolutionalNetwork
from model.experiments.baselines import Baseline
from model.experiments.features import catalogue, store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from model.corpus.sources import Split
    from model.experiments.config import Experiment, Row, Scale, Sizes, SplitKind
    from model.experiments.features.base import Feature
    from model.experiments.features.store import FeatureArrays
    from model.experiments.trainer import Watch
    from model.experiments.windows import Windows

    # Makes the `watch` of a training from its folder.
    Watcher = Callable[[Path], Watch]

CODE = (
    "model.experiments.architecture",
    "model.experiments.trainer",
    "model.experiments.baselines",
)
RESULT = "result.json"


@dataclass(frozen=True, slots=True)
class Result:
    """What one training of a row predicts.

    Parameters
    ----------
    key : str
        Hash of all inputs.
    p : list of float
        Probability of the positive class, of each test window.
    seconds : float
        Of the training.
    parameters : int
        Numbers that were trained; 0 for a baseline.
    """

    key: str
    p: list[float]
    seconds: float
    parameters: int


@dataclass(frozen=True, slots=True)
class RowResults:
    """All results of a row, and what they are results of."""

    row: Row
    results: list[Result]
    test: Windows
    input_bytes: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where an experiment is run, and how.

    Parameters
    ----------
    corpus : Path
        Folder of the recordings.
    folder : Path
        Results of all experiments at this scale.
    scale : Scale
        The extent.
    device : str
        'cpu' or 'cuda'.
    teacher : Path, optional
        Folder of the teacher's files, for rows that learn from it.
    """

    corpus: Path
    folder: Path
    scale: Scale
    device: str = "cpu"
    teacher: Path | None = None


def run(
    experiment: Experiment,
    place: Place,
    report: Callable[[str], None],
    watcher: Watcher | None = None,
) -> list[RowResults]:
    """Run what is not done yet of an experiment.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    place : Place
        Corpus, folder, scale and device.
    report : callable
        Receives a line for each step that takes time.
    watcher : callable, optional
        Makes the `watch` of a training from its folder.

    Returns
    -------
    list of RowResults
        In the order of the rows.

    Raises
    ------
    ConfigError
        A network does not fit its feature, a split has too little audio, or the device is not
        there. What was done stays.
    """
    _check_device(place.device)
    if experiment.has_teacher and place.teacher is None:
        raise ConfigError(
            f"{experiment.name}: rows of it learn from a teacher: name the folder of its files, "
            f"{teacher.FILE} and {teacher.CLASSES}, with --teacher"
        )
    features = {name: catalogue.make(name) for name in {row.feature for row in experiment.rows}}
    for row in experiment.rows:
        _network(experiment, row, features[row.feature], seed=0)  # fail before hours of work
    drawn = _draw(experiment, place, report)
    found = []
    for number, row in enumerate(experiment.rows, 1):
        feature = features[row.feature]
        rows = drawn[row.name]
        title = f"{experiment.name}, row {number} of {len(experiment.rows)}, {row.name}"
        results = _row(experiment, row, feature, rows, place, title, report, watcher)
        found.append(RowResults(row, results, rows["test"], feature.input_bytes))
    return found


def done(experiment: Experiment, place: Place, report: Callable[[str], None]) -> list[RowResults]:
    """Return what is trained already of an experiment, without training anything.

    Returns
    -------
    list of RowResults
        Of the rows with at least one up-to-date training, in their order.

    Raises
    ------
    ConfigError
        The recordings are not there, or do not suffice.
    """
    sizes = experiment.scales[place.scale]
    drawn = _draw(experiment, place, report)
    found = []
    for row in experiment.rows:
        feature, rows = catalogue.make(row.feature), drawn[row.name]
        key = _key(experiment, row, feature, rows, sizes)
        home = row_folder(experiment, row, place.folder)
        results = [
            _find(place.folder, home / f"seed-{seed}", f"{key}-{seed}")
            for seed in range(1, sizes.seeds + 1)
        ]
        there = [each for each in results if each is not None]
        if there:
            found.append(RowResults(row, there, rows["test"], feature.input_bytes))
    return found


def _draw(
    experiment: Experiment, place: Place, report: Callable[[str], None]
) -> dict[str, dict[Split, Windows]]:
    """Return the windows of each row by its name: rows of one split and length share them."""
    sizes = experiment.scales[place.scale]
    drawn: dict[tuple[SplitKind, int], dict[Split, Windows]] = {}
    found = {}
    for row in experiment.rows:
        spans = row.split, catalogue.make(row.feature).samples
        if spans not in drawn:
            drawn[spans] = windows.draw(
                place.corpus, experiment.windows, row.split, sizes, spans[1], report
            )
        found[row.name] = drawn[spans]
    return found


def row_folder(experiment: Experiment, row: Row, folder: Path) -> Path:
    """Return the folder of a row."""
    safe = "".join(c if c.isalnum() else "-" for c in row.name.lower())
    return folder / experiment.name / "-".join(part for part in safe.split("-") if part)


def training_folder(
    experiment: Experiment, row: Row, seed: int, folder: Path, scale: Scale
) -> Path | None:
    """Return where a row's network was trained: in its folder, or in that of an equal row.

    Parameters
    ----------
    experiment, row : Experiment, Row
        The row. Equal ones are looked for in the project's experiments.
    seed : int > 0
        The training.
    folder : Path
        Results of all experiments at this scale.
    scale : Scale
        The scale.

    Returns
    -------
    Path or None
        The folder with ``best.pt``; None if it is not trained.
    """
    key = experiment.training_key(row, scale)
    equal = [
        (other, each)
        for other in _of_the_project()
        for each in other.rows
        if other.training_key(each, scale) == key
    ]
    homes = (row_folder(*one, folder) / f"seed-{seed}" for one in [(experiment, row), *equal])
    return next((home for home in homes if (home / "best.pt").is_file()), None)


@functools.cache
def _of_the_project() -> tuple[Experiment, ...]:
    found = [config.find(name) for name in config.names()]
    return tuple(config.load(path) for path in found if "rows" in config.raw(path))


def _row(
    experiment: Experiment,
    row: Row,
    feature: Feature,
    rows: Mapping[Split, Windows],
    place: Place,
    title: str,
    report: Callable[[str], None],
    watcher: Watcher | None,
) -> list[Result]:
    sizes = experiment.scales[place.scale]
    key = _key(experiment, row, feature, rows, sizes)
    home = row_folder(experiment, row, place.folder)
    seeds = range(1, sizes.seeds + 1)
    found = {seed: _find(place.folder, home / f"seed-{seed}", f"{key}-{seed}") for seed in seeds}
    if all(found.values()):
        return [each for each in found.values() if each is not None]

    def progress(done: int, total: int) -> None:
        if done == total or done % (store.BATCH * 32) == 0:
            report(f"{title}: {done} of {total} windows of {feature.name} computed")

    with cache.building(place.folder / "features", report):  # other experiments have them too
        arrays = store.stored(feature, rows, place.folder / "features", progress)
    results = []
    for seed in seeds:
        folder = home / f"seed-{seed}"
        with cache.building(folder, report):
            # Another command may have trained it while this one waited.
            result = found[seed] or _read(folder / RESULT, f"{key}-{seed}") or _trained(
                experiment, row, feature, rows, arrays, place, seed, f"{key}-{seed}", folder,
                functools.partial(report_as, report, f"{title}, seed {seed} of {sizes.seeds}"),
                watcher,
            )  # fmt: skip
            write_whole(folder / RESULT, json.dumps(asdict(result)).encode())
        results.append(result)
    return results


def report_as(report: Callable[[str], None], title: str, line: str) -> None:
    """Report a line under a title."""
    report(f"{title}: {line}")


def _trained(
    experiment: Experiment,
    row: Row,
    feature: Feature,
    rows: Mapping[Split, Windows],
    arrays: FeatureArrays,
    place: Place,
    seed: int,
    key: str,
    folder: Path,
    report: Callable[[str], None],
    watcher: Watcher | None,
) -> Result:
    if row.baseline is not None:
        report("training")
        began = time.perf_counter()
        baseline = Baseline(row.baseline, seed)
        baseline.fit(np.asarray(arrays.inputs["train"], np.float32), rows["train"].classes)
        seconds = time.perf_counter() - began
        p = baseline.predict(np.asarray(arrays.inputs["test"], np.float32))
        return Result(key, p.tolist(), seconds, 0)
    network = _network(experiment, row, feature, seed)
    assert network is not None
    network.standardise(torch.from_numpy(arrays.mean), torch.from_numpy(arrays.deviation))
    targets = {each: rows[each].classes.astype(np.float32) for each in SPLITS}
    if row.teacher:
        assert place.teacher is not None
        stored = place.folder / "features"
        with cache.building(stored, report):
            found = distillation.stored(
                rows["train"], experiment.windows, place.teacher, stored, report
            )
        targets["train"] = distillation.mixed(rows["train"].classes, found, row.teacher)
    data = {
        each: trainer.Labelled(arrays.inputs[each], rows[each].classes, targets[each])
        for each in SPLITS
    }
    training, epochs = experiment.training, experiment.scales[place.scale].epochs
    settings = trainer.Settings(
        epochs, training.batch, training.rate, training.momentum, seed, place.device
    )
    watch = None if watcher is None else watcher(folder)
    seconds = trainer.train(network, data, settings, row.penalties, folder, key, report, watch)
    p = trainer.predict(network, arrays.inputs["test"])
    parameters = sum(each.numel() for each in network.parameters())
    return Result(key, p.tolist(), seconds, parameters)


def _network(
    experiment: Experiment, row: Row, feature: Feature, seed: int
) -> ConvolutionalNetwork | None:
    """Return the untrained network of a row, or None for a baseline.

    Raises
    ------
    ConfigError
        A layer does not fit its input, or a penalty names no layer.
    """
    if row.layers is None:
        return None
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = ConvolutionalNetwork(feature.shape, row.layers)
        for penalty in row.penalties:
            for layer in penalty.strengths:
                network.weights(layer)
    except ConfigError as error:
        raise ConfigError(
            f"{experiment.name}: the row {row.name!r}, {feature.name} of shape {feature.shape}: "
            f"{error}"
        ) from error
    return network


def _key(
    experiment: Experiment, row: Row, feature: Feature, rows: Mapping[Split, Windows], sizes: Sizes
) -> str:
    """Return the hash of everything that the results of a row depend on, without the seed."""
    code = (*feature.code, *CODE, *((distillation.CODE,) if row.teacher else ()))
    return cache.key_of(
        row.key, [rows[split].key for split in SPLITS], sizes.epochs,
        experiment.training.model_dump(), cache.code_version(*code),
        cache.libraries(*store.LIBRARIES),
    )  # fmt: skip


def _find(folder: Path, home: Path, key: str) -> Result | None:
    """Return the result of a row if it is there, or in a row of another experiment that is equal.

    The network of three convolutions on the STFT is in three experiments.
    """
    others = sorted(folder.glob(f"*/*/{home.name}/{RESULT}"))
    results = (_read(path, key) for path in (home / RESULT, *others))
    return next((each for each in results if each is not None), None)


def _read(path: Path, key: str) -> Result | None:
    """Read a result, or return None if there is none of this key."""
    try:
        read = json.loads(path.read_bytes())
        result = Result(
            str(read["key"]), [float(each) for each in read["p"]], float(read["seconds"]),
            int(read["parameters"]),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return result if result.key == key else None


def _check_device(device: str) -> None:
    if device not in ("cpu", "cuda"):
        raise ConfigError(f"device={device!r} is unknown: use cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device='cuda': this machine has no GPU that torch can use; use cpu")
