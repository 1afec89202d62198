"""Windows of an experiment: which samples of the corpus are for training, validation and test.

Drawn once for a table, so that its rows differ in nothing else. Both classes have equally many
windows. With the split 'sources', groups (voices, tracks) are drawn equally, whatever their length;
with 'windows', recordings are cut into windows that do not overlap, and those are shuffled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from airsift.errors import ConfigError
from model.corpus import cache, groups, recordings, takes
from model.corpus.sources import KINDS, SPLITS
from model.spec import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.corpus.recordings import Recording
    from model.corpus.sources import Kind, Split
    from model.experiments.config import Sizes, SplitKind, WindowChoice

VOICES: tuple[Kind, ...] = ("female", "male")
SEED = 1
_TRIES = 20  # for a window that is loud enough


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of one split.

    Parameters
    ----------
    corpus : Path
        Folder of the recordings.
    length : int > 0
        Samples of a window.
    recordings : sequence of Recording
        The recording of each window.
    starts : np.ndarray [shape=(n,), int]
        First sample in the recording.
    classes : np.ndarray [shape=(n,), int]
        1 for positive windows, 0 for negative ones.
    """

    corpus: Path
    length: int
    recordings: Sequence[Recording]
    starts: NDArray[np.intp]
    classes: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def groups(self) -> list[str]:
        """The group of each window."""
        return [each.group for each in self.recordings]

    @property
    def key(self) -> str:
        """Hash of the samples and the classes."""
        rows = zip(self.recordings, self.starts.tolist(), self.classes.tolist(), strict=True)
        return cache.key_of(
            self.length, [[each.digest, each.group, start, of] for each, start, of in rows]
        )

    def samples(self, first: int, last: int) -> NDArray[np.float32]:
        """Return the samples of windows [shape=(last - first, length)], in [-1, 1)."""
        return self.surroundings(first, last, self.length)

    def surroundings(self, first: int, last: int, length: int) -> NDArray[np.float32]:
        """Return the audio around the centres of windows, for a model that needs a longer context.

        Parameters
        ----------
        first, last : int
            The windows.
        length : int >= the windows'
            Samples. Where a recording begins or ends within them, the part of it that is nearest
            is returned, and zeros behind if it is shorter.

        Returns
        -------
        np.ndarray [shape=(last - first, length), float32]
            In [-1, 1).
        """
        rows = list(zip(self.recordings[first:last], self.starts[first:last], strict=True))
        found = np.zeros((len(rows), length), np.float32)
        for out, (each, start) in zip(found, rows, strict=True):
            samples = recordings.samples_of(self.corpus, each)
            begin = start - (length - self.length) // 2
            begin = max(0, min(begin, len(samples) - length))
            cut = samples[begin : begin + length]
            out[: len(cut)] = cut / np.float32(32768)
        return found


def decode_manifest(
    manifest: Path, folder: Path, report: Callable[[str], None], workers: int = 1
) -> None:
    """Decode the files of a user's manifest into a corpus of their own.

    Parameters
    ----------
    manifest : Path
        CSV of path, class, group and optionally split; see `model.corpus.sources.manifest_items`.
        The classes are those of the corpus, and `VOICES`.
    folder : Path
        The corpus to make. What is decoded already is kept.
    report : callable
        Receives a line of progress.
    workers : int > 0
        Processes.

    Raises
    ------
    ConfigError
        The manifest is wrong, or a file is missing.
    """
    from model.corpus.sources import manifest_items

    items = manifest_items(manifest, (*KINDS, *VOICES))
    with cache.building(folder, report):
        job = recordings.manifest_job(manifest, items)
        recordings.build([job], folder, report, workers=workers)


def draw(
    corpus: Path,
    choice: WindowChoice,
    split: SplitKind,
    sizes: Sizes,
    length: int,
    report: Callable[[str], None] | None = None,
) -> dict[Split, Windows]:
    """Draw the windows of an experiment.

    Parameters
    ----------
    corpus : Path
        Folder of `model.corpus.recordings`.
    choice : WindowChoice
        Classes and loudness.
    split : SplitKind
        See `WindowChoice`.
    sizes : Sizes
        Windows of each split; half of them are of each class.
    length : int > 0
        Samples of a window.
    report : callable, optional
        Receives a line where another command is decoding the recordings: this one waits for it.

    Returns
    -------
    dict of Split to Windows
        The same arguments and recordings give the same windows.

    Raises
    ------
    ConfigError
        A split has too little of a class.
    """
    counts: dict[Split, int] = {
        "train": sizes.train, "validation": sizes.validation, "test": sizes.test,
    }  # fmt: skip
    listed = _listed(corpus, report)
    draw_class = _draw_grid if split == "windows" else _draw_groups
    parts: dict[Split, list[Windows]] = {each: [] for each in SPLITS}
    for number, kinds in enumerate((choice.negative, choice.positive)):
        there = _by_split(listed, choice, kinds)
        random = np.random.default_rng([SEED, number])
        wanted = {each: _half(counts[each], number) for each in SPLITS}
        for name, rows in draw_class(
            corpus, there, wanted, length, choice.floor_db, random, " or ".join(kinds)
        ).items():
            starts = np.array([start for _, start in rows], np.intp)
            of = np.full(len(rows), number, np.intp)
            parts[name].append(Windows(corpus, length, [each for each, _ in rows], starts, of))
    return {name: _joined(each) for name, each in parts.items()}


def _listed(corpus: Path, report: Callable[[str], None] | None) -> list[Recording]:
    """List the recordings of a corpus; wait for another command that decodes them."""
    try:
        return recordings.read_index(corpus)
    except ConfigError:
        if report is None or not (corpus / recordings.AUDIO).is_dir():
            raise
    with cache.building(corpus, report):
        return recordings.read_index(corpus)


Drawn = dict["Split", list[tuple["Recording", int]]]


def _half(count: int, number: int) -> int:
    return count // 2 + number * (count % 2)


def _joined(parts: Sequence[Windows]) -> Windows:
    """Join two classes."""
    rows = [each for part in parts for each in part.recordings]
    starts = np.concatenate([part.starts for part in parts])
    classes = np.concatenate([part.classes for part in parts])
    return Windows(parts[0].corpus, parts[0].length, rows, starts, classes)


def _by_split(
    listed: Sequence[Recording], choice: WindowChoice, kinds: Sequence[Kind]
) -> dict[Split, list[Recording]]:
    """Return the recordings of some classes by the split of the corpus, or of the voices."""
    # A manifest names its voices itself.
    if not choice.voices or any(each.kind in VOICES for each in listed):
        return {
            split: [each for each in takes.select_split(listed, split) if each.kind in kinds]
            for split in SPLITS
        }
    table = groups.read_groups(files("model") / "voices.tsv")
    clips = groups.cut_clips(listed, groups.read_clips(files("model") / "voice_clips.tsv"))
    return {
        split: [
            replace(each, kind=table.kinds[each.group])
            for each in groups.split_of_table(clips, table.splits, split)
            if table.kinds.get(each.group) in kinds
        ]
        for split in SPLITS
    }


def _draw_groups(
    corpus: Path,
    there: dict[Split, list[Recording]],
    wanted: dict[Split, int],
    length: int,
    floor_db: float,
    random: np.random.Generator,
    name: str,
) -> Drawn:
    """Draw windows at random positions of recordings, groups equally."""
    found: Drawn = {}
    for split in SPLITS:
        members: dict[str, list[Recording]] = {}
        for each in there[split]:
            if each.end - each.start >= length:
                members.setdefault(each.group, []).append(each)
        order = sorted(members)
        rows: list[tuple[Recording, int]] = []
        for _ in range(wanted[split] * _TRIES if order else 0):
            if len(rows) == wanted[split]:
                break
            some = members[order[int(random.integers(len(order)))]]
            lengths = np.array([each.end - each.start for each in some], float)
            each = some[int(random.choice(len(some), p=lengths / lengths.sum()))]
            start = int(random.integers(each.end - each.start - length + 1))
            if _loud(corpus, each, start, length, floor_db):
                rows.append((each, start))
        if len(rows) < wanted[split]:
            raise ConfigError(
                f"the split {split} has {len(members)} groups of {name} with {_seconds(length)} or "
                f"more, and {len(rows)} of {wanted[split]} windows above {floor_db:g} dB: add "
                "recordings to it, or use a smaller --scale"
            )
        found[split] = rows
    return found


def _draw_grid(
    corpus: Path,
    there: dict[Split, list[Recording]],
    wanted: dict[Split, int],
    length: int,
    floor_db: float,
    random: np.random.Generator,
    name: str,
) -> Drawn:
    """Draw windows that do not overlap, of any recording for any split."""
    total = sum(wanted.values())
    spots = [
        (each, start)
        for split in SPLITS
        for each in there[split]
        for start in range(0, each.end - each.start - length + 1, length)
    ]
    rows = list(_first_loud(corpus, spots, length, floor_db, random, total))
    if len(rows) < total:
        raise ConfigError(
            f"there are {len(rows)} of {total} windows of {name} above {floor_db:g} dB, "
            f"{_seconds(length)} each, that do not overlap: add recordings, or use a smaller "
            "--scale"
        )
    found: Drawn = {}
    for split in SPLITS:
        found[split], rows = rows[: wanted[split]], rows[wanted[split] :]
    return found


def _first_loud(
    corpus: Path,
    spots: Sequence[tuple[Recording, int]],
    length: int,
    floor_db: float,
    random: np.random.Generator,
    limit: int,
) -> Iterator[tuple[Recording, int]]:
    """Yield loud windows in random order, `limit` at most."""
    count = 0
    for place in random.permutation(len(spots)):
        each, start = spots[place]
        if count == limit:
            return
        if _loud(corpus, each, start, length, floor_db):
            count += 1
            yield each, start


def _loud(corpus: Path, each: Recording, start: int, length: int, floor_db: float) -> bool:
    samples = recordings.samples_of(corpus, each)[start : start + length]
    power = float(np.square(samples, dtype=np.float64).mean()) / 32768.0**2
    return power > 10 ** (floor_db / 10)


def _seconds(length: int) -> str:
    return f"{length / SAMPLE_RATE:g} s"
