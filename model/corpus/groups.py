"""Tables of a task: what its groups are, and which parts of files belong to which group.

A table of groups has two or three columns, separated by tabs: group, class, and optionally split. A
split here replaces the one of the corpus: a task that knows its voices holds out voices, whatever
the speech and music network was trained on. A table of clips has four: path, start and end in
seconds, group. It divides files in which several voices were joined.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from airsift.errors import ConfigError
from model.corpus import takes
from model.corpus.sources import SPLITS
from model.corpus.splits import assign_splits, load_splits
from model.spec import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from model.corpus.recordings import Recording
    from model.corpus.sources import Kind, Split


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of a task.

    Parameters
    ----------
    kinds : mapping of str to str
        Group to class.
    splits : mapping of str to Split
        Group to split, of the groups that have one in the table.
    """

    kinds: Mapping[str, Kind]
    splits: Mapping[str, Split]


NONE = Groups({}, {})


class Clip(NamedTuple):
    """A part of a file: start and end in seconds, and the group of the part."""

    start: float
    end: float
    group: str


def read_groups(path: Path | Traversable) -> Groups:
    """Read a table of groups.

    Raises
    ------
    ConfigError
        The file cannot be read, a row has another form, or a group has two rows.
    """
    kinds: dict[str, Kind] = {}
    splits: dict[str, Split] = {}
    for line, row in _rows(path):
        if len(row) not in (2, 3):
            raise ConfigError(
                f"{path}, line {line}: {row!r} must be a group, a class and, optionally, a split, "
                "separated by tabs"
            )
        if row[0] in kinds:
            raise ConfigError(f"{path}, line {line}: {row[0]!r} is there twice: leave one out")
        kinds[row[0]] = row[1]
        if len(row) == 3:
            split = next((each for each in SPLITS if each == row[2]), None)
            if split is None:
                raise ConfigError(
                    f"{path}, line {line}: split {row[2]!r} must be one of {', '.join(SPLITS)}"
                )
            splits[row[0]] = split
    return Groups(kinds, splits)


def read_clips(path: Path | Traversable) -> dict[str, list[Clip]]:
    """Read a table of clips.

    Returns
    -------
    dict
        Path of a file, relative to its source, to its clips.

    Raises
    ------
    ConfigError
        The file cannot be read, or a row has another form.
    """
    found: dict[str, list[Clip]] = defaultdict(list)
    for line, row in _rows(path):
        try:
            file, start, end, group = row
            clip = Clip(float(start), float(end), group)
        except ValueError as error:
            raise ConfigError(
                f"{path}, line {line}: {row!r} must be a path, a start, an end and a group, "
                "separated by tabs"
            ) from error
        if not 0 <= clip.start < clip.end < math.inf:
            raise ConfigError(f"{path}, line {line}: {start} to {end} s must be a part of a file")
        found[file].append(clip)
    return dict(found)


def cut_clips(
    recordings: Iterable[Recording], clips: Mapping[str, Sequence[Clip]]
) -> list[Recording]:
    """Divide recordings into their clips; what no clip covers is left out.

    Parameters
    ----------
    recordings : iterable of Recording
        In any order; those without clips are returned unchanged.
    clips : mapping of str to sequence of Clip
        From `read_clips`. A clip ends where its recording does.
    """
    return [part for each in recordings for part in _parts(each, clips.get(each.path))]


def split_of_table(
    recordings: Sequence[Recording], splits: Mapping[str, Split], split: Split
) -> list[Recording]:
    """Select a split: by the table for its groups, and as the corpus does for all others.

    A recording that shares samples with one in a stricter split, listed or not, is in neither.

    Parameters
    ----------
    recordings : sequence of Recording
        Of the whole corpus, before or after `cut_clips`.
    splits : mapping of str to Split
        From `Groups`.
    split : Split
        The split.
    """
    others = [each for each in recordings if each.group not in splits]
    where = assign_splits(others, load_splits()) | dict(splits)
    return takes.without_copies(recordings, where, split)


def _parts(each: Recording, clips: Sequence[Clip] | None) -> Iterator[Recording]:
    if clips is None:
        yield each
        return
    for clip in clips:
        start = each.start + round(clip.start * SAMPLE_RATE)
        end = min(each.end, each.start + round(clip.end * SAMPLE_RATE))
        if start < end:
            # Another recording than its neighbours; see `model.corpus.takes.without_copies`.
            digest = f"{each.digest}:{start - each.start}"
            yield replace(each, group=clip.group, start=start, end=end, digest=digest)


def _rows(path: Path | Traversable) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the columns of every line that is neither empty nor a comment."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if line and not line.startswith("#"):
            yield number, line.split("\t")
