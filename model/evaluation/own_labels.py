"""How often a network with labels of your own is right, on recordings it was not trained on.

Each label is judged by itself, at a probability of 0.5, in windows of 5 s of the classes of its
configuration. The intervals are by a bootstrap over groups: windows of one recording are alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from airsift.errors import ConfigError
from model.evaluation import metrics
from model.training import dataset

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from model.classifier import Classifier
    from model.corpus.sources import Split
    from model.training.config import Task

_BATCH = 64
_MEASURES = {"precision": metrics.precision, "recall": metrics.recall, "F": metrics.f_measure}


def measure(task: Task, folder: Path, classifier: Classifier, split: Split) -> metrics.Pool:
    """Predict the windows of a split, of all classes of a task.

    Parameters
    ----------
    task : Task
        What the network was trained for.
    folder : Path
        The corpus; the files of the task's manifest are decoded in it.
    classifier : Classifier
        The network.
    split : Split
        Which recordings.

    Returns
    -------
    Pool
        Probabilities and truth [shape=(n, labels)]; the stratum of a group is its class.

    Raises
    ------
    ConfigError
        The network has other labels than the task, or a class has no windows of 5 s.
    """
    found = classifier.spec.labels
    if found != task.labels:
        raise ConfigError(
            f"the model has the labels {', '.join(found)}, the configuration "
            f"{', '.join(task.labels)}: give --config the file that it was trained with"
        )
    chosen = dataset.recordings(task, folder, split)
    columns, truth, groups, kinds = [], [], list[str](), dict[str, str]()
    for window, group, kind in dataset.windows(folder, chosen, augmented=False):
        known = task.groups.get(group, kind)
        columns.append(window)
        truth.append([number in task.classes[known] for number in range(len(task.labels))])
        groups.append(group)
        kinds.setdefault(group, known)
    missing = set(task.foreground) - set(kinds.values())
    if missing:
        raise ConfigError(
            f"the {split} split has no 5 s of {' or '.join(sorted(missing))}: add longer recordings"
        )
    with torch.inference_mode():
        rows = [
            classifier.decide(classifier.embed(batch.float()))
            for batch in torch.split(torch.stack(columns), _BATCH)
        ]
    order = {group: number for number, group in enumerate(kinds)}
    classes = sorted(set(kinds.values()))
    return metrics.Pool(
        torch.cat(rows).numpy().astype(np.float64),
        np.array(truth),
        np.array([order[group] for group in groups], np.intp),
        np.array([classes.index(kind) for kind in kinds.values()], np.intp),
    )


def table(labels: tuple[str, ...], pool: metrics.Pool) -> str:
    """Return a table in Markdown: precision, recall and F of each label, in per cent."""
    lines = [
        f"| label | {' | '.join(_MEASURES)} | windows with it | groups |",
        "|---|" + "---|" * (len(_MEASURES) + 2),
    ]
    for number, label in enumerate(labels):
        found = _estimates(number, pool)
        cells = [
            f"{100 * each.value:.1f} ({100 * each.low:.1f} to {100 * each.high:.1f})"
            for each in found.values()
        ]
        with_it = pool.truth[:, number]
        cells += [f"{int(with_it.sum())} of {len(with_it)}"]
        cells += [str(len({*pool.groups[with_it].tolist()}))]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _estimates(number: int, pool: metrics.Pool) -> Mapping[str, metrics.Estimate]:
    return {name: metrics.estimate(of(number), pool) for name, of in _MEASURES.items()}
