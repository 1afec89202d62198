"""What the networks of an experiment lose by changes of the test windows that leave their class.

The report hopes that the CQT is better than the STFT under transposition, which only shifts it.
Accuracy is the share of windows whose likelier class is right; both classes have equally many. The
hope is decided by two differences over all transpositions, each with its interval of a bootstrap
over groups: that of the accuracies, and that of what is lost against the unchanged windows.

::

    FOLDER/SCALE/invariances/
      changes/CHANGE.json     probabilities of each row and seed: the change is done
      table.md, table.json, curves.png
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from airsift.errors import ConfigError
from airsift.files import replacing, write_whole
from model.corpus import cache
from model.evaluation import metrics
from model.experiments import config, runner, trainer
from model.experiments.architecture import ConvolutionalNetwork
from model.experiments.features import catalogue, store
from model.experiments.table import Comparison, decided, interval, verdict
from model.experiments.transformations import KINDS, UNITS, Change, Kind, changed
from model.training import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from airsift.json_types import JsonObject
    from model.evaluation.metrics import Estimate, Flags, Numbers
    from model.experiments.config import Experiment, Row
    from model.experiments.runner import Place, RowResults
    from model.experiments.windows import Windows

NAME = "invariances"
CODE = "model.experiments.transformations"
LIBRARIES = ("av", "numpy", "scipy", "soxr")
HOPE: Kind = "transposition"
COLOURS = ("#0072B2", "#D55E00")  # Okabe and Ito's
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
    question : str
        For its page.
    experiment : Experiment
        With two rows: the one that is hoped to be better, and the other one.
    changes : list of Change
        Without the identity.
    """

    question: str
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
    """Read a file of the form of ``invariances.toml``.

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
    return Comparisons(read.question, replace(experiment, rows=rows), changes)


def run(of: Comparisons, place: Place, report: Callable[[str], None]) -> Measured:
    """Train what is missing of the two rows, and measure what is missing of the changes.

    Raises
    ------
    ConfigError
        As for `runner.run`. What was done stays.
    """
    results = runner.run(of.experiment, place, report)
    networks: Networks = {
        each.row.name: (each.row.feature, _trained(of.experiment, each, place)) for each in results
    }
    test = results[0].test
    if results[1].test.key != test.key:
        raise ConfigError(
            f"{NAME}: the windows of {results[0].row.name!r} and {results[1].row.name!r} have "
            "other lengths: compare features of one length"
        )
    keys = [result.key for each in results for result in each.results]
    return measure(networks, test, of.changes, place.folder / NAME / "changes", keys, report)


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
            report(f"{NAME}: {number} of {len(wanted)}, {name}")
            there = _predicted(networks, test, change)
            values = {"key": key, "p": there.tolist()}
            write_whole(file, json.dumps(values).encode())
        found[change] = there
    return Measured(tuple(networks), test, found.pop(nothing), found)


def accuracy(measured: Measured, row: int, change: Change | None = None) -> Estimate:
    """Return the accuracy of a row under a change, or without one."""
    p = measured.unchanged if change is None else measured.changed[change]
    return metrics.estimate(_accuracy(0), _pool(measured.test, [[p[row]]]))


def lead(measured: Measured, changes: Sequence[Change]) -> Estimate:
    """Return by how much the first row is more accurate than the second, over changes."""
    return metrics.estimate(_difference, _pool(measured.test, _columns(measured, changes)))


def saved(measured: Measured, changes: Sequence[Change]) -> Estimate:
    """Return by how much less the first row loses than the second, over changes."""
    return metrics.estimate(_kept, _pool(measured.test, _columns(measured, changes)))


def compare(measured: Measured) -> list[Comparison]:
    """Return the two parts of the report's hope, and their verdicts."""
    changes = [change for change in measured.changed if change.kind == HOPE]
    first, second = measured.names
    parts = []
    for text, value in (
        (f"transposed windows, accuracy of {first} above {second}", lead(measured, changes)),
        (f"{first} loses less by transposition", saved(measured, changes)),
    ):
        span = f"{100 * value.value:.1f} ({100 * value.low:.1f} to {100 * value.high:.1f})"
        parts.append(Comparison(f"{text} by {span}", decided(value.low, value.high, strict=True)))
    return parts


def markdown(of: Comparisons, measured: Measured) -> str:
    """Return the section of a page: question, table and verdict."""
    first, second = measured.names
    lines = [
        "## Invariances", "", of.question, "",
        f"| change of the test windows | {first} | {second} | {first} above {second} |",
        "|---|---|---|---|",
    ]  # fmt: skip
    for change in (None, *measured.changed):
        cells = [interval(accuracy(measured, row, change)) for row in range(2)]
        difference = lead(measured, [] if change is None else [change])
        name = "none" if change is None else change.name
        cells.append(_signed(difference))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    test, seeds = measured.test, measured.unchanged.shape[1]
    parts = compare(measured)
    lines += [
        "",
        f"Accuracy in percent, {len(test)} test windows of {len(set(test.groups))} groups, "
        f"{seeds} network{'s' if seeds > 1 else ''} each, with 95 % intervals over groups.",
        "",
        f"The report hopes that {first} is better under transposition. "
        f"**Here: {verdict(parts)}.** "
        + " ".join(f"{part.text}: {part.verdict}." for part in parts),
        "",
    ]
    return "\n".join(lines)


def as_json(measured: Measured) -> JsonObject:
    """Return the table as plain values, for programs."""
    parts = compare(measured)
    return {
        "verdict": verdict(parts),
        "parts": [{"text": part.text, "verdict": part.verdict} for part in parts],
        "changes": [
            {
                "kind": "none" if change is None else change.kind,
                "amount": 0.0 if change is None else change.amount,
                **{
                    name: [value.value, value.low, value.high]
                    for row, name in enumerate(measured.names)
                    for value in [accuracy(measured, row, change)]
                },
            }
            for change in (None, *measured.changed)
        ],
    }


def draw(measured: Measured, image: Path) -> None:
    """Draw the accuracy of both rows over the amount of each kind of change, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = [kind for kind in KINDS if any(each.kind == kind for each in measured.changed)]
    figure = Figure(figsize=(10, 3 * -(-len(kinds) // 3)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(-(-len(kinds) // 3), 3, sharey=True, squeeze=False).flat
    for panel, kind in zip(panels, kinds, strict=False):
        zero = Change(kind, 1.0 if kind == "tempo" else 0.0)
        there = [each for each in measured.changed if each.kind == kind]
        changes = sorted([zero, *there], key=lambda each: each.amount)
        amounts = [each.amount for each in changes]
        for row, (name, colour, mark) in enumerate(
            zip(measured.names, COLOURS, ("o-", "s--"), strict=True)
        ):
            values = [accuracy(measured, row, None if c is zero else c) for c in changes]
            low, middle, high = (
                [100 * getattr(value, part) for value in values]
                for part in ("low", "value", "high")
            )
            panel.fill_between(amounts, low, high, color=colour, alpha=0.15, lw=0)
            panel.plot(amounts, middle, mark, color=colour, ms=4, lw=1.4, label=name)
        panel.set_xlabel(f"{kind} ({UNITS[kind]})")
        panel.grid(color="#e5e5e5")
        panel.axvline(zero.amount, color="#999999", lw=0.8, ls=":")
    for panel in list(panels):
        panel.set_visible(False)
    axes = figure.axes
    axes[0].legend(loc="lower center", frameon=False)
    for panel in axes[::3]:
        panel.set_ylabel("accuracy (%)")
    with replacing(image) as partial, partial.open("wb") as out:
        figure.savefig(out, format="png", dpi=100)


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
            network.load_state_dict(checkpoint.load(state))
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


def _columns(measured: Measured, changes: Sequence[Change]) -> list[list[Numbers]]:
    """Return, for each change, the columns: both rows changed, then both unchanged."""
    plain = list(measured.unchanged)
    return [[*measured.changed[each], *plain] for each in changes] or [[*plain, *plain]]


def _pool(test: Windows, columns: Sequence[Sequence[Numbers]]) -> metrics.Pool:
    """Pool windows of all changes and seeds; each column [shape=(seeds, windows)] is one of `p`."""
    p = np.concatenate([np.stack([c.reshape(-1) for c in each], axis=1) for each in columns])
    times = len(p) // len(test)
    names, place = np.unique(test.groups, return_inverse=True)
    strata = np.array([test.classes[place == n][0] for n in range(len(names))], np.intp)
    classes: NDArray[np.intp] = np.tile(test.classes, times)
    truth = np.stack([classes == 0, classes == 1], axis=1)
    return metrics.Pool(p, truth, np.tile(place, times), strata)


def _accuracy(column: int) -> metrics.Metric:
    def value(p: Numbers, truth: Flags, weights: Numbers) -> float:
        right = (p[:, column] > 0.5) == truth[:, 1]
        return float(weights[right].sum() / weights.sum())

    return value


def _difference(p: Numbers, truth: Flags, weights: Numbers) -> float:
    return _accuracy(0)(p, truth, weights) - _accuracy(1)(p, truth, weights)


def _kept(p: Numbers, truth: Flags, weights: Numbers) -> float:
    before = _accuracy(2)(p, truth, weights) - _accuracy(3)(p, truth, weights)
    return _difference(p, truth, weights) - before


def _signed(value: Estimate) -> str:
    return f"{100 * value.value:+.1f} ({100 * value.low:+.1f} to {100 * value.high:+.1f})"
