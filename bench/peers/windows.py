"""Held-out windows and programmes as files with known labels, for any program.

A folder holds ``windows.csv`` with the columns `COLUMNS` (paths relative to the folder, 16 kHz mono
WAV of 5 s; speech and music are 0 or 1; split is validation or test) and, if there are programmes,
``programmes.csv`` with ``path,class,start_s,end_s``, one row for each span of speech or music.
"""

from __future__ import annotations

import csv
import hashlib
import sys
import wave
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from model.corpus.takes import Take

    Samples = NDArray[np.float32]

COLUMNS = ("path", "split", "source", "kind", "speech", "music", "group")
SPLITS = ("validation", "test")
TRUTH = {"speech": (1, 0), "music": (0, 1), "singing": (0, 1), "noise": (0, 0)}
MIXED_DB = (-5, -10, -15, -20)  # level of the music under speech
LEVELS_DB = (-32.0, -12.0)  # RMS of a window, in dB re full scale
MIN_ACTIVE = 0.95  # share of a window in which its class is active
WINDOW_S = 5.0
SEED = 14


@dataclass(frozen=True)
class Window:
    """A window and its labels; `key` is a hash of the file."""

    path: Path
    key: str
    split: str
    source: str
    kind: str
    speech: int
    music: int
    group: str


@dataclass(frozen=True)
class Programme:
    """A programme and its spans of speech and music, in seconds; `key` is a hash of the file."""

    path: Path
    key: str
    seconds: float
    spans: dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Known:
    """Everything that the programs are asked."""

    windows: list[Window]
    programmes: list[Programme]


@dataclass(frozen=True)
class Cut:
    """A window before it is written."""

    source: str
    kind: str
    group: str
    samples: Samples


def write(work: Path, corpus: Path, counts: dict[str, int], mixed: int, programmes: int) -> Path:
    """Write the windows of the held-out sources and programmes of test; return their folder.

    The folder is named by the held-out recordings and the options, and is reused if it is there.

    Parameters
    ----------
    work : Path
        Where to make the folder.
    corpus : Path
        What ``airsift corpus build`` made.
    counts : dict
        Split to the most windows of a class of a source.
    mixed : int
        Windows of speech over music at each of `MIXED_DB`, from the test split.
    programmes : int
        Programmes of 3 minutes, from the test split.
    """
    from model.corpus import cache, recordings
    from model.corpus.takes import split_recordings
    from model.evaluation import conditions
    from model.evaluation.programmes import programmes as generate
    from model.spec import SAMPLE_RATE

    keys = [recordings.key_of(split_recordings(corpus, split)) for split in SPLITS]
    folder = work / f"windows-{cache.key_of(keys, counts, mixed, programmes, SEED)[:12]}"
    if (folder / "windows.csv").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[object, ...]] = []
    held_out: list[Take] = []
    for split in SPLITS:
        print(f"reading the {split} split of {corpus}", file=sys.stderr, flush=True)
        held_out = conditions.held_out_takes(corpus, split)
        cuts = draw(held_out, counts[split])
        _save(folder, split, [(cut, TRUTH[cut.kind]) for cut in cuts], rows)
        if split == "test":
            both = list(mixtures(cuts, mixed, np.random.default_rng(SEED)))
            _save(folder, split, [(cut, (1, 1)) for cut in both], rows)
    spans = []
    for each in generate(held_out, count=programmes) if programmes else ():
        path = Path(f"{each.name}.wav")
        _write_wav(folder / path, each.samples)
        for label, found in (("speech", each.speech), ("music", each.music)):
            spans += [(path, label, start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in found]
    _table(folder / "programmes.csv", ("path", "class", "start_s", "end_s"), spans)
    # Written last: it marks the folder as complete.
    _table(folder / "windows.csv", COLUMNS, rows)
    return folder


def draw(takes: Iterable[Take], most: int) -> list[Cut]:
    """Return windows of every class of every source, its groups in turn.

    The windows of one source are the same whatever other sources there are.
    """
    from model.spec import HOP, SAMPLE_RATE

    length = round(WINDOW_S * SAMPLE_RATE)
    found: dict[tuple[str, str], dict[str, list[Samples]]] = {}
    for take in takes:
        if take.origin == "synthetic" or take.kind not in TRUTH:
            continue
        groups = found.setdefault((take.source, take.kind), {})
        for start in range(0, len(take.samples) - length + 1, length):
            if take.active[start // HOP : (start + length) // HOP].mean() > MIN_ACTIVE:
                cut = take.samples[start : start + length]
                groups.setdefault(take.group, []).append(cut)
    cuts = []
    for (source, kind), groups in sorted(found.items()):
        random = np.random.default_rng([SEED, zlib.crc32(f"{source} {kind}".encode())])
        for group, samples in in_turn(groups, most, random):
            level_db = float(random.uniform(*LEVELS_DB))
            cuts.append(Cut(source, kind, group, _at_level(samples, level_db)))
    return cuts


def in_turn(
    groups: dict[str, list[Samples]], most: int, random: np.random.Generator
) -> list[tuple[str, Samples]]:
    """Return one window of every group, then a second, and so on, at most `most`."""
    ranked = []
    for group, windows in sorted(groups.items()):
        for rank, place in enumerate(random.permutation(len(windows))):
            ranked.append((rank, float(random.random()), group, windows[place]))
    ranked.sort(key=lambda each: each[:2])
    return [(group, samples) for _, _, group, samples in ranked[:most]]


def mixtures(cuts: Sequence[Cut], count: int, random: np.random.Generator) -> Iterator[Cut]:
    """Yield speech with music under it; the same pairs at each level."""
    speech = [cut for cut in cuts if cut.kind == "speech"]
    music = [cut for cut in cuts if cut.kind in ("music", "singing")]
    if not speech or not music:
        return
    voices = [speech[i] for i in random.permutation(len(speech))[:count]]
    partners = [music[int(i)] for i in random.integers(len(music), size=len(voices))]
    for level_db in MIXED_DB:
        for voice, other in zip(voices, partners, strict=True):
            ratio = _rms(voice.samples) / _rms(other.samples) * 10.0 ** (level_db / 20.0)
            samples = voice.samples + other.samples * np.float32(ratio)
            level = max(1.0, float(np.abs(samples).max()))
            kind = f"speech over music at {level_db} dB"
            yield Cut(voice.source, kind, voice.group, samples / np.float32(level))


def read(folder: Path) -> Known:
    """Read a folder that `write` or a user wrote.

    Raises
    ------
    SystemExit
        A column is missing, or a split is unknown or has no window.
    """
    listed = folder / "windows.csv"
    windows = []
    for row in _rows(listed):
        missing = [name for name in COLUMNS if row.get(name) is None]
        if missing:
            sys.exit(f"{listed} has no column {missing[0]}: it needs {','.join(COLUMNS)}")
        if row["split"] not in SPLITS:
            sys.exit(f"{listed}: split={row['split']!r} must be one of {', '.join(SPLITS)}")
        path = (folder / row["path"]).resolve()
        windows.append(
            Window(
                path, _key(path), row["split"], row["source"], row["kind"],
                int(row["speech"]), int(row["music"]), row["group"],
            )
        )  # fmt: skip
    for split in SPLITS:
        if all(each.split != split for each in windows):
            sys.exit(
                f"{listed} has no window of the {split} split: thresholds are chosen on "
                "validation, and test is reported"
            )
    spans: dict[Path, dict[str, list[tuple[float, float]]]] = {}
    listed = folder / "programmes.csv"
    for row in _rows(listed) if listed.exists() else []:
        path = (folder / row["path"]).resolve()
        both = spans.setdefault(path, {"speech": [], "music": []})
        both[row["class"]].append((float(row["start_s"]), float(row["end_s"])))
    return Known(windows, [Programme(p, _key(p), _seconds(p), both) for p, both in spans.items()])


def _save(
    folder: Path,
    split: str,
    cuts: Sequence[tuple[Cut, tuple[int, int]]],
    rows: list[tuple[object, ...]],
) -> None:
    for number, (cut, truth) in enumerate(cuts, len(rows)):
        path = Path(f"{split}-{number:04d}.wav")
        _write_wav(folder / path, cut.samples)
        rows.append((path, split, cut.source, cut.kind, *truth, cut.group))


def _write_wav(path: Path, samples: Samples) -> None:
    from airsift.cli.evaluate import write_wav

    write_wav(path, samples)


def _rms(samples: Samples) -> float:
    return max(float(np.sqrt(np.mean(np.square(samples)))), 1e-9)


def _at_level(samples: Samples, level_db: float) -> Samples:
    louder: Samples = samples * np.float32(10.0 ** (level_db / 20.0) / _rms(samples))
    return np.clip(louder, -1.0, 1.0)


def _key(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:24]


def _seconds(path: Path) -> float:
    with wave.open(str(path)) as file:
        return file.getnframes() / file.getframerate()


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _table(path: Path, columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    partial.replace(path)
