"""Windows and programmes as files with reference labels, for any program.

A folder holds ``windows.csv`` with the columns ``path,condition,speech,music,group`` (paths
relative to the folder, 16 kHz mono WAV of 5 s; speech and music are 0 or 1) and, if there are
programmes, ``programmes.csv`` with ``path,class,start_s,end_s``, one row for each span of speech
or music. `CONDITIONS` are the names of conditions that the report uses.
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
    """A window and its labels."""

    path: Path
    condition: str
    speech: int
    music: int
    group: str


@dataclass(frozen=True)
class Programme:
    """A programme and its spans of speech and music, in seconds."""

    path: Path
    seconds: float
    spans: dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Known:
    """All windows and programmes; `digest` is a hash of samples and labels."""

    windows: list[Window]
    programmes: list[Programme]
    digest: str


def write(folder: Path, corpus: Path, split: str, max_windows: int, programmes: int) -> None:
    """Write the windows and programmes of a split, unless they are there."""
    if (folder / "programmes.csv").exists():
        return
    from airsift.cli.evaluate import write_wav
    from model.evaluation import conditions
    from model.evaluation.programmes import programmes as generate
    from model.spec import SAMPLE_RATE

    folder.mkdir(parents=True, exist_ok=True)
    print(f"reading the {split} split of {corpus}", file=sys.stderr, flush=True)
    held_out = conditions.held_out_takes(corpus, split)
    rows = []
    for each in conditions.conditions_of(
        held_out, split, max_windows=max_windows, names=CONDITIONS
    ):
        place = each.name.replace(" ", "_")
        for number, (samples, group) in enumerate(zip(each.samples, each.groups, strict=True)):
            path = Path(f"{place}-{number:03d}.wav")
            write_wav(folder / path, samples)
            rows.append((path, each.name, *each.truth, group))
    _table(folder / "windows.csv", COLUMNS, rows)
    rows = []
    for each in generate(held_out, count=programmes):
        path = Path(f"{each.name}.wav")
        write_wav(folder / path, each.samples)
        for label, spans in (("speech", each.speech), ("music", each.music)):
            rows += [(path, label, start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in spans]
    # Written last: marks the folder as complete.
    _table(folder / "programmes.csv", ("path", "class", "start_s", "end_s"), rows)


def read(folder: Path) -> Known:
    """Read a folder that `write` or a user wrote."""
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
            programmes.append(Programme(path, file.getnframes() / file.getframerate(), both))
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
