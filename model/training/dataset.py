"""The recordings of a task: decoded, given their class, joined to streams, cut to windows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from airsift.errors import ConfigError
from model.corpus import cache, feature_store
from model.corpus import recordings as corpus
from model.corpus import sources as recipe
from model.frontend.rolling_cqt import RollingCQT, cqt
from model.training.mixture import WINDOW
from model.training.validation import Validation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from model.corpus.feature_store import Bank, Row, Stream
    from model.corpus.recordings import Recording
    from model.corpus.sources import Split
    from model.training.config import Task

    # Columns, where the class is heard, and the stream they are of.
    Computed = tuple[NDArray[np.float16], NDArray[np.bool_], Row]

SEED = 100
# Classes that are only heard beneath others come from the bank of the corpus, and so much of it.
BENEATH_COLUMNS = 2 * 180_000
# Windows of one group among those that decide which state of the network is kept.
MOST_OF_GROUP = 8
# Columns between the windows of a stream: half a window.
WINDOW_STEP = WINDOW // 2


def decode(task: Task, folder: Path, report: Callable[[str], None]) -> None:
    """Decode the files of the task's manifest beside the corpus, as far as they have changed.

    They are in a folder of their own: other trainings and `airsift evaluate` do not see them.
    """
    if task.manifest is None:
        return
    items = recipe.manifest_items(task.manifest, sorted(task.classes))
    place = folder / own_folder(task)
    with cache.building(place, report):
        corpus.build([corpus.manifest_job(task.manifest, items)], place, report)


def own_folder(task: Task) -> str:
    """Return where, in a corpus, the files of a task's manifest are decoded to."""
    assert task.manifest is not None
    return f"tasks/{cache.key_of(str(task.manifest.resolve()))[:16]}"


def all_recordings(task: Task, folder: Path) -> tuple[list[Recording], list[Recording]]:
    """List what is in the corpus, if there is one, and what is in the task's manifest."""
    cache.check_whole(folder)
    shared = corpus.read_index(folder) if task.manifest is None or corpus.there(folder) else []
    if task.manifest is None:
        return shared, []
    own = corpus.read_index(folder / own_folder(task))
    return shared, [replace(each, array=f"{own_folder(task)}/{each.array}") for each in own]


def recordings(task: Task, folder: Path, split: Split) -> list[Recording]:
    """List the recordings of a split, with the classes of the task.

    Raises
    ------
    ConfigError
        A recording's class is none of the task's, or a class that windows are about has none.
    """
    shared, own = all_recordings(task, folder)
    found: dict[Split, list[Recording]] = {
        each: _of_task(task, feature_store.chosen([*shared, *own], each)) for each in recipe.SPLITS
    }
    counted = Counter(kind_of(task, each) for each in found[split])
    empty = [kind for kind in task.judged if not counted[kind]]
    if empty:
        groups = {
            name: {each.group for each in rows if kind_of(task, each) in empty}
            for name, rows in found.items()
        }
        there = ", ".join(f"{name} has {len(names)} groups" for name, names in groups.items())
        raise ConfigError(
            f"the {split} split has no recordings of {' and none of '.join(empty)} ({there}): add "
            "some under more names of groups, which decide where a group is"
        )
    return found[split]


def kind_of(task: Task, each: Recording) -> str:
    """Return the class that a recording has in a task."""
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
    """Return the key of the columns that a task would learn from now."""
    beneath = _takes_beneath(task, folder)
    return cache.key_of(
        corpus.key_of(recordings(task, folder, "train")),
        feature_store.key_of(folder, "train") if beneath else "",
        dict(task.groups), sorted(task.classes), list(task.judged), task.passes,
        task.most_seconds, SEED, BENEATH_COLUMNS, feature_store.PASSES, feature_store.MOST_SECONDS,
        cache.code_version("model.training.dataset"), cache.libraries(*feature_store.LIBRARIES),
    )  # fmt: skip


def build(task: Task, folder: Path, place: Path, report: Callable[[str], None]) -> Bank:
    """Compute the columns of the training split, unless those that are there are the same.

    Parameters
    ----------
    task : Task
        What is to be learnt.
    folder : Path
        The corpus.
    place : Path
        Where the bank is kept.
    report : callable
        Is told which of the two was done.
    """
    key = key_of(task, folder)
    if feature_store.stored_key(place, "train") == key:
        report("training columns: reused")
        return feature_store.open_bank(place, "train", key)
    place.mkdir(parents=True, exist_ok=True)
    table: list[Row] = []
    parts: list[tuple[NDArray[np.float16], NDArray[np.bool_]]] = []
    beneath = _beneath(task, folder) if _takes_beneath(task, folder) else []
    chosen = recordings(task, folder, "train")
    if beneath:
        # What the bank of the corpus has of classes that are only beneath others is enough.
        shared = {each.array for each in all_recordings(task, folder)[0]}
        chosen = [e for e in chosen if e.array not in shared or kind_of(task, e) in task.judged]
    for columns, active, row in (*beneath, *_computed(task, folder, chosen)):
        end = table[-1].end if table else 0
        table.append(row._replace(start=end, end=end + len(columns)))
        parts.append((columns, active))
    feature_store.store_bank(place, "train", parts, table, key)
    report("training columns: computed anew")
    return feature_store.open_bank(place, "train", key)


def validation(task: Task, folder: Path, split: Split = "validation") -> Validation:
    """Cut windows of what the task is about, plain and treated.

    Returns
    -------
    Validation
        Each condition is a class, plain or treated.
    """
    chosen = [e for e in recordings(task, folder, split) if kind_of(task, e) in task.judged]
    parts, truths, names = [], [], []
    for treated in (False, True):
        for columns, group, kind in windows(folder, chosen, treated=treated):
            known = task.groups.get(group, kind)
            parts.append(columns.half())
            truths.append([float(i in task.classes[known]) for i in range(len(task.labels))])
            names.append(f"{known}, treated" if treated else known)
    if not parts:
        raise ConfigError(f"the {split} split has no 5 s of {' or '.join(task.judged)}: add some")
    return Validation(torch.stack(parts), torch.tensor(truths), names)


def windows(
    folder: Path, chosen: Sequence[Recording], *, treated: bool
) -> Iterator[tuple[Tensor, str, str]]:
    """Yield windows in which a class is heard all the time, few of each group.

    Parameters
    ----------
    folder : Path
        The corpus.
    chosen : sequence of Recording
        Of one split.
    treated : bool
        Whether rooms, codecs and the like are added.

    Yields
    ------
    columns : torch.Tensor [shape=(250, 144)]
        Of the window.
    group, kind : str
        Of its stream.
    """
    front_end = RollingCQT()
    counted: Counter[str] = Counter()
    for stream in feature_store.streams(folder, chosen, SEED, treated=treated):
        starts = _starts(stream)[: MOST_OF_GROUP - counted[stream.group]]
        if not starts:
            continue
        counted[stream.group] += len(starts)
        with torch.inference_mode():
            columns = cqt(torch.from_numpy(stream.samples)[None], front_end)[0]
        for start in starts:
            yield columns[start : start + WINDOW], stream.group, stream.kind


def _starts(stream: Stream) -> list[int]:
    """Return where windows begin in which the class is heard all the time."""
    return [
        start
        for start in range(0, len(stream.active) - WINDOW + 1, WINDOW_STEP)
        if stream.active[start : start + WINDOW].mean() > 0.95
    ]


def _computed(task: Task, folder: Path, chosen: Sequence[Recording]) -> Iterator[Computed]:
    """Yield the columns of every stream of some recordings."""
    front_end = RollingCQT()
    for turn in range(task.passes):
        random = np.random.default_rng([SEED, turn])
        some = _some(chosen, task.most_seconds * feature_store.RATE, random)
        for stream in feature_store.streams(folder, some, SEED + turn, treated=True):
            with torch.inference_mode():
                columns = cqt(torch.from_numpy(stream.samples)[None], front_end)[0]
            count = min(len(columns), len(stream.active))
            row = feature_store.row_of(stream, 0, count)
            row = row._replace(kind=task.groups.get(row.group, row.kind))
            yield columns[:count].numpy().astype(np.float16), stream.active[:count], row


def _some(chosen: Sequence[Recording], most: int, random: np.random.Generator) -> list[Recording]:
    """Draw recordings of each group until they have `most` samples."""
    used: Counter[str] = Counter()
    kept = []
    for place in random.permutation(len(chosen)):
        each = chosen[place]
        if used[each.group] < most:
            used[each.group] += each.end - each.start
            kept.append(each)
    return kept


def _takes_beneath(task: Task, folder: Path) -> bool:
    """Tell whether classes are only heard beneath others, and the corpus has columns of them."""
    return bool(set(task.classes) - set(task.judged)) and bool(
        feature_store.stored_key(folder, "train")
    )


def _beneath(task: Task, folder: Path) -> list[Computed]:
    """Take what is only heard beneath other classes from the bank of the corpus."""
    wanted = set(task.classes) - set(task.judged)
    whole = feature_store.open_train(folder)
    rows = [each for each in whole.streams if each.kind in wanted and each.group not in task.groups]
    found, total = [], 0
    for place in np.random.default_rng(SEED).permutation(len(rows)):
        row = rows[place]
        if total < BENEATH_COLUMNS:
            total += row.end - row.start
            columns = np.array(whole.columns[row.start : row.end])
            found.append((columns, whole.active[row.start : row.end], row))
    return found
