"""What is stored of a station's repeats: one folder, readable while it is written.

::

    STATION/
      2026-09-21.peaks   4 bytes a peak, in order of time: 23 bits frame of the day, 8 bits bin,
                         1 bit whether it is paired; about 10 MB a day
      runs.jsonl         one line for each run that was published
      clips/CLUSTER.wav  the sound of a cluster, for people

Both kinds of files only grow at their end, so a crash leaves at most half an entry there, which is
left out. A restart cuts them to the place where its snapshot was taken. Days that are older than
the window are deleted as whole files.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import numpy as np

from airsift.errors import CatalogueError
from airsift.files import atomic
from fingerprint.repeats.alignment import Run
from fingerprint.settings import HOP, N_BINS, SAMPLE_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.repeats.alignment import Peaks

DAY = 86_400 * SAMPLE_RATE // HOP  # frames
RUNS = "runs.jsonl"
CLIPS = "clips"
_EPOCH = date(1970, 1, 1)
_MAX_NAME = 120
_MAX_TEXT = 100
_FRAME_SHIFT = 9


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as it was published.

    Parameters
    ----------
    run : Run
        The run.
    block : int
        Number of the block with which it ended.
    cluster : str
        Id of its cluster at that time.
    label : str
        Label of most of its later stretch; empty where unknown.
    """

    run: Run
    block: int
    cluster: str
    label: str = ""

    def to_json(self) -> str:
        """Return it as one line."""
        fields = {**asdict(self.run), "block": self.block, "cluster": self.cluster}
        return json.dumps({**fields, "label": self.label})

    @classmethod
    def from_json(cls, line: str) -> StoredRun:
        """Return the run of a line.

        Raises
        ------
        ValueError
            It is none.
        """
        fields = json.loads(line)
        if not isinstance(fields, dict):
            raise ValueError("no object")
        names = ("lag", "start", "end", "score", "hits", "peaks", "block")
        numbers = [n for name in names if type(n := fields.get(name)) is int and abs(n) < 2**53]
        texts = [t for name in ("cluster", "label") if isinstance(t := fields.get(name), str)]
        if len(numbers) != len(names):
            raise ValueError("a number is missing")
        if len(texts) != 2 or max(map(len, texts)) > _MAX_TEXT:
            raise ValueError("a text is missing")
        run = Run(*numbers[:6])
        if not (run.lag > 0 and run.start < run.end):
            raise ValueError("no span")
        return cls(run, numbers[6], *texts)


def folder_of(root: Path, station: str) -> Path:
    """Return the folder of a station, whatever characters its name has."""
    name = quote(station, safe=" ", errors="surrogatepass")
    name = name.replace(".", "%2E").replace("~", "%7E")
    if len(name) > _MAX_NAME:
        import hashlib

        digest = hashlib.sha256(station.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        name = f"{name[: _MAX_NAME - 17]}~{digest}"
    return root / (name or "%")


def stations_in(root: Path) -> list[tuple[str, Path]]:
    """Return the name and the folder of every station that is stored.

    Raises
    ------
    CatalogueError
        The folder cannot be read.
    """
    try:
        folders = sorted(path for path in root.iterdir() if (path / RUNS).exists())
    except OSError as error:
        raise CatalogueError(
            f"{root}: cannot be read ({error.strerror}); name the folder of repeats.folder, in "
            "which `airsift run` or `airsift repeats FOLDER --store` has stored repeats"
        ) from None
    return [(unquote(path.name.partition("~")[0]), path) for path in folders]


def read_runs(folder: Path) -> tuple[list[StoredRun], list[str]]:
    """Return the runs in a station's folder, in order of their blocks, and a line for each damage.

    It reads no peaks, of which there are gigabytes.
    """
    try:
        lines = (folder / RUNS).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return [], []
    found, problems = [], []
    for number, line in enumerate(lines, 1):
        try:
            found.append(StoredRun.from_json(line))
        except ValueError as error:
            if number < len(lines):  # the last one may be half written
                problems.append(
                    f"{folder / RUNS}: line {number} is no run ({error}); it is left out"
                )
    return sorted(found, key=lambda stored: stored.block), problems


class Store:
    """The stored peaks and runs of one station.

    Parameters
    ----------
    folder : Path
        Its folder; made when something is stored.

    Attributes
    ----------
    problems : list of str
        One line for each file that is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []
        self._days: dict[int, NDArray[np.uint32]] = {}  # mapped, or the last day in memory
        self._used = 0  # of the last day's array
        self._last: int | None = None
        for day in self.days():
            self._open(day)

    def days(self) -> list[int]:
        """Return the numbers of the days that have peaks, from 1970."""
        names = self.folder.glob("*.peaks") if self.folder.is_dir() else ()
        return sorted(day for name in names if (day := _day_of(name.stem)) is not None)

    def add(
        self, frame: NDArray[np.int64], bin_: NDArray[np.int64], strong: NDArray[np.bool_]
    ) -> None:
        """Store peaks; none is earlier than one that is stored.

        Raises
        ------
        OSError
            The disk refuses.
        """
        for day in np.unique(frame // DAY).tolist():
            mine = frame // DAY == day
            packed = (frame[mine] - day * DAY) << _FRAME_SHIFT | bin_[mine] << 1 | strong[mine]
            packed = np.sort(packed.astype(np.uint32))
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._path(day).open("ab") as file:
                file.write(packed.tobytes())
            self._grow(day, packed)

    def peaks(self, first: int, last: int) -> Peaks:
        """Return (frames, bins) of the peaks in [first, last)."""
        return _unpacked(self._between(first, last))

    def strong_peaks(self, first: int, last: int) -> Peaks:
        """Return (frames, bins) of the peaks in [first, last) that are paired."""
        parts = self._between(first, last)
        return _unpacked([(base, packed[packed & 1 == 1]) for base, packed in parts])

    def cut(self, frame: int) -> None:
        """Forget the peaks from a frame on."""
        for day in sorted(self._days, reverse=True):
            if (day + 1) * DAY <= frame:
                return
            array = self._array(day)
            kept = int(np.searchsorted(array, max(frame - day * DAY, 0) << _FRAME_SHIFT))
            if kept == len(array):
                continue
            os.truncate(self._path(day), 4 * kept)
            del array
            self._close(day)
            self._open(day)

    def drop(self, before: int) -> None:
        """Delete the days that end before a frame."""
        for day in [day for day in self._days if (day + 1) * DAY <= before]:
            self._path(day).unlink(missing_ok=True)
            self._close(day)

    def runs(self) -> list[StoredRun]:
        """Return the stored runs, in order of their blocks."""
        found, problems = read_runs(self.folder)
        self.problems += problems
        return found

    def add_runs(self, runs: list[StoredRun]) -> None:
        """Store runs behind those that are there.

        Raises
        ------
        OSError
            The disk refuses.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / RUNS).open("a", encoding="utf-8") as file:
            file.writelines(f"{each.to_json()}\n" for each in runs)

    def replace_runs(self, runs: list[StoredRun]) -> None:
        """Store these runs instead of those that are there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{each.to_json()}\n" for each in runs)
        with atomic(self.folder / RUNS) as partial:
            partial.write_text(text, encoding="utf-8")

    def clip(self, cluster: str) -> Path:
        """Return the path of a cluster's clip, which need not exist."""
        return self.folder / CLIPS / f"{cluster}.wav"

    def _path(self, day: int) -> Path:
        return self.folder / f"{_name_of(day)}.peaks"

    def _array(self, day: int) -> NDArray[np.uint32]:
        array = self._days[day]
        return array[: self._used] if day == self._last else array

    def _between(self, first: int, last: int) -> list[tuple[int, NDArray[np.uint32]]]:
        """Return the packed peaks of each day, with the day's first frame."""
        parts = []
        for day in range(first // DAY, (last - 1) // DAY + 1):
            if day in self._days:
                array, base = self._array(day), day * DAY
                edges = [min(max(at - base, 0), DAY) << _FRAME_SHIFT for at in (first, last)]
                a, b = np.searchsorted(array, np.array(edges, np.uint32)).tolist()
                parts.append((base, array[a:b]))
        return parts

    def _open(self, day: int) -> None:
        """Map a day's file; leave it out if it is damaged."""
        path = self._path(day)
        try:
            count = path.stat().st_size // 4
            array = np.memmap(path, np.uint32, "r", shape=(count,)) if count else None
        except OSError as error:
            self.problems.append(f"{path}: cannot be read ({error.strerror}); it is left out")
            return
        if array is None:
            return
        if (array[1:] < array[:-1]).any() or int((array >> 1 & 0xFF).max()) >= N_BINS:
            self.problems.append(f"{path}: is damaged (its peaks are not in order); delete it")
            return
        self._days[day] = array

    def _close(self, day: int) -> None:
        self._days.pop(day, None)
        if self._last == day:
            self._last = None

    def _grow(self, day: int, packed: NDArray[np.uint32]) -> None:
        """Append to the last day's array in memory, which has room to spare."""
        if self._last != day:
            if self._last is not None:
                closed = self._last
                self._close(closed)
                self._open(closed)
            known = self._days.get(day, np.empty(0, np.uint32))
            os.truncate(self._path(day), 4 * (len(known) + len(packed)))  # no half peak between
            self._days[day] = np.empty(max(2 * len(known), 1 << 16), np.uint32)
            self._days[day][: len(known)] = known
            self._last, self._used = day, len(known)
        used = self._used + len(packed)
        if used > len(self._days[day]):
            larger = np.empty(2 * used, np.uint32)
            larger[: self._used] = self._days[day][: self._used]
            self._days[day] = larger
        self._days[day][self._used : used] = packed
        self._used = used


def _unpacked(parts: list[tuple[int, NDArray[np.uint32]]]) -> Peaks:
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    frames = [(packed >> _FRAME_SHIFT).astype(np.int64) + base for base, packed in parts]
    bins = [(packed >> 1 & 0xFF).astype(np.int64) for _, packed in parts]
    if len(parts) == 1:
        return frames[0], bins[0]
    return np.concatenate(frames), np.concatenate(bins)


def _name_of(day: int) -> str:
    try:
        return (_EPOCH + timedelta(days=day)).isoformat()
    except OverflowError:
        return f"day-{day}"


def _day_of(name: str) -> int | None:
    try:
        return (date.fromisoformat(name) - _EPOCH).days
    except ValueError:
        number = name.removeprefix("day-")
        return int(number) if number.isdecimal() and number != name else None
