"""The dataset of a task: recordings with classes, training columns, validation windows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from airsift.errors import ConfigError
from model.corpus import cache, feature_store, splits, takes
from model.corpus import groups as tables
from model.corpus import recordings as corpus
from model.corpus import sources as recipe
from model.corpus.feature_store import Part, TakeRow
from model.frontend.rolling_cqt import RollingCQT, cqt
from model.spec import COLUMNS_PER_HOUR, SAMPLE_RATE
from model.spec import WINDOW_COLUMNS as WINDOW
from model.training.validation import Validation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from model.corpus.feature_store import FeatureStore
    from model.corpus.recordings import Recording
    from model.corpus.sources import Split
    from model.corpus.takes import Take
    from model.training.config import Task

    # Columns, their targets, and their take.
    Computed = tuple[NDArray[np.float16], NDArray[np.float16], TakeRow]
    Samples = NDArray[np.float32]

SEED = 100
# Classes that are only mixed under others come from the store of the corpus, up to 2 h.
BACKGROUND_COLUMNS = 2 * COLUMNS_PER_HOUR
# Of validation windows.
MAX_WINDOWS_PER_GROUP = 8
WINDOW_STEP = WINDOW // 2


def decode_manifest(task: Task, folder: Path, report: Callable[[str], None]) -> None:
    """Decode the changed files of the task's manifest, into a separate folder of the corpus.

    Other trainings and `airsift evaluate` do not use this folder.
    """
    if task.manifest is None:
        return
    items = recipe.manifest_items(task.manifest, sorted(task.classes))
    place = folder / manifest_folder(task)
    shared = corpus.read_index(folder) if corpus.exists(folder) else []
    # Groups in two splits are refused before minutes of decoding.
    splits.assign_splits([*shared, *items], splits.load_splits())
    with cache.building(place, report):
        corpus.build([corpus.manifest_job(task.manifest, items)], place, report)


def manifest_folder(task: Task) -> str:
    """Return the folder, in a corpus, of the decoded files of a task's manifest."""
    assert task.manifest is not None
    return f"tasks/{cache.key_of(str(task.manifest.resolve()))[:16]}"


def all_recordings(task: Task, folder: Path) -> tuple[list[Recording], list[Recording]]:
    """List the recordings of the corpus, if there is one, and of the task's manifest."""
    cache.check_whole(folder)
    shared = corpus.read_index(folder) if task.manifest is None or corpus.exists(folder) else []
    own = [] if task.manifest is None else corpus.read_index(folder / manifest_folder(task))
    own = [replace(each, array=f"{manifest_folder(task)}/{each.array}") for each in own]
    return tables.cut_clips(shared, task.clips), tables.cut_clips(own, task.clips)


def recordings(task: Task, folder: Path, split: Split) -> list[Recording]:
    """List the recordings of a split, with the classes of the task.

    Raises
    ------
    ConfigError
        A class of a recording is not in the task, or a foreground class has no recordings.
    """
    shared, own = all_recordings(task, folder)
    found: dict[Split, list[Recording]] = {
        each: _of_task(task, tables.split_of_table([*shared, *own], task.splits, each))
        for each in recipe.SPLITS
    }
    counted = Counter(kind_of(task, each) for each in found[split])
    empty = [kind for kind in task.foreground if not counted[kind]]
    if empty:
        groups = {
            name: {each.group for each in rows if kind_of(task, each) in empty}
            for name, rows in found.items()
        }
        there = ", ".join(f"{name} has {len(names)} groups" for name, names in groups.items())
        raise ConfigError(
            f"the {split} split has no recordings of {' and none of '.join(empty)} ({there}): add "
            "groups, or place some by a column 'split' of the manifest"
        )
    return found[split]


def kind_of(task: Task, each: Recording) -> str:
    """Return the class of a recording in a task."""
    return task.groups.get(each.group, each.kind)


def _of_task(task: Task, chosen: Sequence[Recording]) -> list[Recording]:
    found = []
    for each in chosen:
        kind = kind_of(task, each)
        if kind in task.leave_out:
            continue
        if kind not in task.classes:
            raise ConfigError(
                f"{each.source}/{each.path} is of class {kind!r}, which is none of the task's: "
                "name it in [classes] or in leave_out"
            )
        found.append(each)
    return found


def key_of(task: Task, folder: Path) -> str:
    """Return the key of the columns that a build would compute."""
    background = _uses_background(task, folder)
    return cache.key_of(
        corpus.key_of(recordings(task, folder, "train")),
        feature_store.training_key(folder) if background else "",
        dict(task.groups), sorted(task.classes), list(task.foreground), task.repeats,
        task.max_seconds_per_group, SEED, BACKGROUND_COLUMNS,
        cache.code_version("model.training.dataset"), cache.libraries(*feature_store.LIBRARIES),
    )  # fmt: skip


def build(task: Task, folder: Path, place: Path, report: Callable[[str], None]) -> FeatureStore:
    """Compute the columns of the training split, unless the store is up to date.

    Parameters
    ----------
    task : Task
        The task.
    folder : Path
        The corpus.
    place : Path
        Folder of the store.
    report : callable
        Receives a line: reused or computed.
    """
    key = key_of(task, folder)
    if feature_store.stored_key(place, "train") == key:
        report("training columns: reused")
        return feature_store.open_store(place, "train", key)
    place.mkdir(parents=True, exist_ok=True)
    table: list[TakeRow] = []
    parts: list[Part] = []
    no_tags = np.zeros((0, 0), np.uint8)
    background = _background(task, folder) if _uses_background(task, folder) else []
    chosen = recordings(task, folder, "train")
    if background:
        # The store of the corpus has enough of the background classes.
        shared = {each.array for each in all_recordings(task, folder)[0]}
        chosen = [e for e in chosen if e.array not in shared or kind_of(task, e) in task.foreground]
    for columns, targets, row in (*background, *_computed(task, folder, chosen)):
        end = table[-1].end if table else 0
        table.append(row._replace(start=end, end=end + len(columns)))
        parts.append(Part(columns, targets, no_tags))
    feature_store.write_store(place, "train", parts, table, key)
    report("training columns: computed anew")
    return feature_store.open_store(place, "train", key)


def validation(task: Task, folder: Path, split: Split = "validation") -> Validation:
    """Return windows of the foreground classes, clean and augmented.

    Returns
    -------
    Validation
        Each condition is a class, clean or augmented.
    """
    chosen = [e for e in recordings(task, folder, split) if kind_of(task, e) in task.foreground]
    parts, truths, names = [], [], []
    for augmented in (False, True):
        for columns, group, kind in windows(folder, chosen, augmented=augmented):
            known = task.groups.get(group, kind)
            parts.append(columns.half())
            truths.append([float(i in task.classes[known]) for i in range(len(task.labels))])
            names.append(f"{known}, augmented" if augmented else known)
    if not parts:
        raise ConfigError(
            f"the {split} split has no 5 s of {' or '.join(task.foreground)}: add some"
        )
    return Validation(torch.stack(parts), torch.tensor(truths), names)


def windows(
    folder: Path,
    chosen: Sequence[Recording],
    *,
    augmented: bool,
    change: Callable[[Samples], Samples] | None = None,
) -> Iterator[tuple[Tensor, str, str]]:
    """Yield windows with an active class, up to `MAX_WINDOWS_PER_GROUP` of a group and class.

    Parameters
    ----------
    folder : Path
        The corpus.
    chosen : sequence of Recording
        Of one split.
    augmented : bool
        Whether to augment the takes.
    change : callable, optional
        Applied to the samples of each take; it keeps their number.

    Yields
    ------
    columns : torch.Tensor [shape=(250, 144)]
        Columns of the window.
    group, kind : str
        Group and class of its take.
    """
    front_end = RollingCQT()
    counted: Counter[tuple[str, str]] = Counter()
    for take in takes.takes(folder, chosen, SEED, augmented=augmented):
        starts = _starts(take)[: MAX_WINDOWS_PER_GROUP - counted[take.group, take.kind]]
        if not starts:
            continue
        counted[take.group, take.kind] += len(starts)
        samples = take.samples if change is None else change(take.samples)
        with torch.inference_mode():
            columns = cqt(torch.from_numpy(samples)[None], front_end)[0]
        for start in starts:
            yield columns[start : start + WINDOW], take.group, take.kind


def _starts(take: Take) -> list[int]:
    """Return the first columns of the windows with an active class."""
    return [
        start
        for start in range(0, len(take.active) - WINDOW + 1, WINDOW_STEP)
        if take.active[start : start + WINDOW].mean() > 0.95
    ]


def _computed(task: Task, folder: Path, chosen: Sequence[Recording]) -> Iterator[Computed]:
    """Yield the columns of the takes of recordings."""
    front_end = RollingCQT()
    for repeat in range(task.repeats):
        random = np.random.default_rng([SEED, repeat])
        some = sample(chosen, task.max_seconds_per_group * SAMPLE_RATE, random)
        for take in takes.takes(folder, some, SEED + repeat, augmented=True):
            with torch.inference_mode():
                columns = cqt(torch.from_numpy(take.samples)[None], front_end)[0]
            count = min(len(columns), len(take.active))
            kind = task.groups.get(take.group, take.kind)
            row = TakeRow(take.group, kind, 0, count, take.source, take.origin, take.category)
            targets = np.zeros((count, len(task.labels)), np.float16)
            for output in task.classes[kind]:
                targets[:, output] = take.active[:count]
            yield columns[:count].numpy().astype(np.float16), targets, row


def sample(
    chosen: Sequence[Recording], max_samples: int, random: np.random.Generator
) -> list[Recording]:
    """Draw recordings of each group up to a number of samples; of the last one, a random part.

    Parameters
    ----------
    chosen : sequence of Recording
        Of any groups.
    max_samples : int > 0
        Of one group. Classes that `takes.takes` repeats count as often.
    random : np.random.Generator
        Draws the order and the parts.
    """
    used: Counter[str] = Counter()
    selected = []
    for place in random.permutation(len(chosen)):
        each = chosen[place]
        times = takes.REPEATS.get(each.kind, 1)
        length = min(each.end - each.start, (max_samples - used[each.group]) // times)
        if length > 0:
            start = each.start + int(random.integers(each.end - each.start - length + 1))
            used[each.group] += length * times
            selected.append(replace(each, start=start, end=start + length))
    return selected


def _uses_background(task: Task, folder: Path) -> bool:
    """Return whether the task has background classes, and the corpus has a store."""
    return bool(set(task.classes) - set(task.foreground)) and bool(
        feature_store.stored_key(folder, "train")
    )


def _background(task: Task, folder: Path) -> list[Computed]:
    """Return takes of the background classes from the store of the corpus."""
    wanted = set(task.classes) - set(task.foreground)
    whole = feature_store.open_training_store(folder)
    rows = [each for each in whole.takes if each.kind in wanted and each.group not in task.groups]
    found, total = [], 0
    for place in np.random.default_rng(SEED).permutation(len(rows)):
        row = rows[place]
        if total < BACKGROUND_COLUMNS:
            total += row.end - row.start
            columns = np.array(whole.columns[row.start : row.end])
            targets = np.zeros((len(columns), len(task.labels)), np.float16)
            found.append((columns, targets, row))
    return found
