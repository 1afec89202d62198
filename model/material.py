"""The recordings of a task: decoded, given their class, joined to streams, cut to windows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import torch

from airsift.errors import ConfigError
from model import bank, corpus, recipe
from model.frontend import RollingCQT, cqt
from model.layers import WINDOW
from model.selection import Validation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from model.bank import Bank, Stream
    from model.corpus import Recording
    from model.recipe import Split
    from model.task import Task

    Row = tuple[str, str, int, int]

SEED = 100
# Classes that are only heard beneath others come from the bank of the corpus, and so much of it.
BENEATH_COLUMNS = 2 * 180_000
# Windows of one group among those that decide which state of the network is kept.
MOST_OF_GROUP = 8
# Columns between the windows of a stream: half a window.
WINDOW_STEP = WINDOW // 2


def decode(task: Task, folder: Path, report: Callable[[str], None]) -> None:
    """Decode the files of the task's manifest into the corpus, unless they are there already."""
    if task.manifest is None:
        return
    items = recipe.manifest_items(task.manifest, sorted(task.classes))
    seconds, broken = corpus.build_source(task.manifest.stem, items, task.manifest.parent, folder)
    for problem in broken:
        report(f"left out: {problem}")
    report(f"{task.manifest}: {seconds / 60:.1f} min")


def recordings(task: Task, folder: Path, split: Split) -> list[Recording]:
    """List the recordings of a split, with the classes of the task.

    Raises
    ------
    ConfigError
        A recording's class is none of the task's, or a class that windows are about has none.
    """
    found = []
    for each in bank.checked_recordings(folder, split):
        kind = task.groups.get(each.group, each.kind)
        if kind in task.leave_out:
            continue
        if kind not in task.classes:
            raise ConfigError(
                f"{each.source}/{each.path} is of class {kind!r}, which is none of the task's: "
                "name it in [classes] or in leave_out"
            )
        found.append(each)
    counted = Counter(task.groups.get(each.group, each.kind) for each in found)
    empty = [kind for kind in task.judged if not counted[kind]]
    if empty:
        raise ConfigError(
            f"the {split} split has no recordings of {' and none of '.join(empty)}: add some, in "
            "groups of that split (`airsift corpus stats` counts them)"
        )
    return found


def build(task: Task, folder: Path, place: Path) -> Bank:
    """Compute the columns of the training split, once, and open them.

    Parameters
    ----------
    task : Task
        What is to be learnt.
    folder : Path
        The corpus.
    place : Path
        Where the bank is kept.
    """
    if not (place / "train-streams.csv").exists():
        place.mkdir(parents=True, exist_ok=True)
        table: list[Row] = []
        parts: list[tuple[NDArray[np.float16], NDArray[np.bool_]]] = []
        beneath = _beneath(task, folder)
        own = [
            each
            for each in recordings(task, folder, "train")
            if beneath is None or task.groups.get(each.group, each.kind) in task.judged
        ]
        for columns, active, group, kind in (*(beneath or ()), *_computed(task, folder, own)):
            end = table[-1][3] if table else 0
            table.append((group, kind, end, end + len(columns)))
            parts.append((columns, active))
        bank.store_bank(place, "train", parts, table)
    return bank.open_bank(place, "train")


def validation(task: Task, folder: Path, split: Split = "validation") -> Validation:
    """Cut windows of what the task is about, plain and treated.

    Returns
    -------
    Validation
        Each condition is a class, plain or treated.
    """
    chosen = [
        each
        for each in recordings(task, folder, split)
        if task.groups.get(each.group, each.kind) in task.judged
    ]
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
    for stream in bank.streams(folder, chosen, SEED, treated=treated):
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


def _computed(
    task: Task, folder: Path, chosen: Sequence[Recording]
) -> Iterator[tuple[NDArray[np.float16], NDArray[np.bool_], str, str]]:
    """Yield columns, where the class is heard, group and class of every stream."""
    front_end = RollingCQT()
    for turn in range(task.passes):
        random = np.random.default_rng([SEED, turn])
        some = _some(chosen, task.most_seconds * bank.RATE, random)
        for stream in bank.streams(folder, some, SEED + turn, treated=True):
            with torch.inference_mode():
                columns = cqt(torch.from_numpy(stream.samples)[None], front_end)[0]
            count = min(len(columns), len(stream.active))
            kind = task.groups.get(stream.group, stream.kind)
            values = columns[:count].numpy().astype(np.float16)
            yield values, stream.active[:count], stream.group, kind


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


def _beneath(
    task: Task, folder: Path
) -> list[tuple[NDArray[np.float16], NDArray[np.bool_], str, str]] | None:
    """Take what is only heard beneath other classes from the bank of the corpus, if it is built."""
    wanted = set(task.classes) - set(task.judged)
    if not wanted or not (folder / "train-streams.csv").exists():
        return None
    whole = bank.open_bank(folder, "train")
    streams = [row for row in whole.streams if row[1] in wanted and row[0] not in task.groups]
    found, total = [], 0
    for place in np.random.default_rng(SEED).permutation(len(streams)):
        group, kind, start, end = streams[place]
        if total < BENEATH_COLUMNS:
            total += end - start
            columns = np.array(whole.columns[start:end])
            found.append((columns, whole.active[start:end], group, kind))
    return found
