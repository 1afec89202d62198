"""Windows and programmes as files with a list of what is true, for any program to hear.

A folder holds ``windows.csv`` with the columns ``path,condition,speech,music,group`` (paths
relative to the folder, 16 kHz mono WAV of 5 s; speech and music are 0 or 1) and, if there are
programmes, ``programmes.csv`` with ``path,class,start_s,end_s``, one row for each stretch of
speech or music. Condition names that the report knows are those of `CONDITIONS`.
"""

from __future__ import annotations

import csv
import hashlib
import sys
import wave
from dataclasses import dataclass
from pathlib import Path

CONDITIONS = (
    "speech", "music", "singing", "noise", "silence and hiss", "music at -10 dB and speech",
)  # fmt: skip
COLUMNS = ("path", "condition", "speech", "music", "group")


@dataclass(frozen=True)
class Window:
    """A window and its truth."""

    path: Path
    condition: str
    speech: int
    music: int
    group: str


@dataclass(frozen=True)
class Spliced:
    """A programme and where speech and music are in it, in seconds."""

    path: Path
    seconds: float
    spans: dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Known:
    """All that there is to hear; `digest` changes with any sample of it."""

    windows: list[Window]
    programmes: list[Spliced]
    digest: str


def write(folder: Path, corpus: Path, split: str, most: int, programmes: int) -> None:
    """Write one split's windows and programmes, unless they are there."""
    if (folder / "programmes.csv").exists():
        return
    from airsift.cli.evaluate import write_wav
    from model.evaluation import conditions
    from model.evaluation.programmes import programmes as spliced

    folder.mkdir(parents=True, exist_ok=True)
    print(f"reading the {split} split of {corpus}", file=sys.stderr, flush=True)
    heard = conditions.held_out_takes(corpus, split)
    rows = []
    for each in conditions.conditions_of(heard, split, most=most, names=CONDITIONS):
        place = each.name.replace(" ", "_")
        for number, (samples, group) in enumerate(zip(each.samples, each.groups, strict=True)):
            path = Path(f"{place}-{number:03d}.wav")
            write_wav(folder / path, samples)
            rows.append((path, each.name, *each.truth, group))
    _table(folder / "windows.csv", COLUMNS, rows)
    rows = []
    for each in spliced(heard, count=programmes):
        path = Path(f"{each.name}.wav")
        write_wav(folder / path, each.samples)
        for label, spans in (("speech", each.speech), ("music", each.music)):
            rows += [(path, label, start / 16_000, end / 16_000) for start, end in spans]
    # The last file that is written says that all are there.
    _table(folder / "programmes.csv", ("path", "class", "start_s", "end_s"), rows)


def read(folder: Path) -> Known:
    """Read what `write` or a user wrote."""
    digest = hashlib.sha256()
    windows = []
    for row in _rows(folder / "windows.csv"):
        missing = [name for name in COLUMNS if row.get(name) is None]
        if missing:
            sys.exit(f"{folder / 'windows.csv'} has no column {missing[0]}: it needs {COLUMNS}")
        path = (folder / row["path"]).resolve()
        digest.update(repr(sorted(row.items())).encode() + path.read_bytes())
        windows.append(
            Window(path, row["condition"], int(row["speech"]), int(row["music"]), row["group"])
        )
    spans: dict[Path, dict[str, list[tuple[float, float]]]] = {}
    listed = folder / "programmes.csv"
    for row in _rows(listed) if listed.exists() else []:
        path = (folder / row["path"]).resolve()
        both = spans.setdefault(path, {"speech": [], "music": []})
        both[row["class"]].append((float(row["start_s"]), float(row["end_s"])))
        digest.update(repr(sorted(row.items())).encode())
    programmes = []
    for path, both in spans.items():
        digest.update(path.read_bytes())
        with wave.open(str(path)) as file:
            programmes.append(Spliced(path, file.getnframes() / file.getframerate(), both))
    return Known(windows, programmes, digest.hexdigest())


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _table(path: Path, columns, rows) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    partial.replace(path)
