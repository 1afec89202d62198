"""Olaf and Panako behind the interface of `matchers`, run as the commands that they are.

Neither is in a package registry, so the benchmark is told where they are: Olaf's core program, and
a script that starts Panako with its arguments. Panako needs ``ffmpeg`` besides.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.matching.matchers import cpu_s
from bench.matching.music import RATE
from bench.matching.queries import as_float
from stream.testing import write_wav

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from bench.matching.matchers import Query, QueryResult

# Its own limits would end a query of 4 to 10 s before its score is known; the benchmark has a
# threshold on the score instead.
_PANAKO = (
    "STRATEGY=PANAKO", "AVAILABLE_PROCESSORS=1", "NUMBER_OF_QUERY_RESULTS=5",
    "PANAKO_CACHE_TO_FILE=FALSE", "PANAKO_USE_CACHED_PRINTS=FALSE",
    "PANAKO_MIN_HITS_UNFILTERED=4", "PANAKO_MIN_HITS_FILTERED=3", "PANAKO_MIN_MATCH_DURATION=1",
)  # fmt: skip


def olaf(tracks: list[Path], work: Path, *, program: Path) -> Query:
    """Return a query function of Olaf; its database is in a home of its own in `work`."""
    home = work / program.name
    environ = {**os.environ, "HOME": str(home)}
    keys = [path.stem for path in tracks]

    def call(command: str, named: Iterable[tuple[str, NDArray[np.int16]]]) -> str:
        with tempfile.TemporaryDirectory() as folder:
            pairs: list[str] = []
            for number, (name, samples) in enumerate(named):
                pairs += [f"{folder}/{number}.raw", name]
                as_float(samples).tofile(pairs[-2])
            done = subprocess.run(
                [program, command, *pairs],
                env=environ, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                text=True,
            )  # fmt: skip
        return done.stdout

    if not (home / "whole").exists():
        (home / ".olaf" / "db").mkdir(parents=True, exist_ok=True)
        for number, path in enumerate(tracks):
            call("store", [(str(number), np.load(path))])
        (home / "whole").touch()

    def run_queries(queries: Sequence[NDArray[np.int16]]) -> list[QueryResult]:
        start = cpu_s()
        silence = np.zeros(RATE, np.int16)
        named = ((name, each) for query in queries for name, each in (("", query), ("", silence)))
        text = call("query", named)
        return olaf_results(text, keys, (cpu_s() - start) / len(queries))

    return run_queries


def olaf_results(text: str, keys: Sequence[str], spent_s: float) -> list[QueryResult]:
    """Read what Olaf prints: hashes, span in the query, name, number, span in the track.

    It does not print where a query ends, so a silent one comes behind each: a line of zeros, which
    is all that is printed of a query without a match.
    """
    rows = [[cell.strip() for cell in line.split(",")] for line in text.splitlines()]
    out = []
    lines = iter([row for row in rows if len(row) == 7 and row[0].isdigit()])
    for row in lines:
        result: QueryResult = {"answers": [], "spans": [], "cpu_s": spent_s}
        while int(row[0]):
            place = round((float(row[5]) - float(row[1])) * RATE)
            result["answers"].append((keys[int(row[3])], place, float(row[0])))
            result["spans"].append((float(row[1]), float(row[2])))
            row = next(lines)
        if not result["answers"]:
            next(lines)  # that of the silent query
        out.append(result)
    return out


def panako(tracks: list[Path], work: Path, *, program: Path) -> Query:
    """Return a query function of Panako; its database is in `work`."""
    store = work / "panako"
    settings = [*_PANAKO, f"PANAKO_LMDB_FOLDER={store / 'database'}"]

    def call(command: str, files: list[Path]) -> str:
        done = subprocess.run(
            [program, command, *settings, *files],
            cwd=store, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        return done.stdout

    if not (store / "whole").exists():
        (store / "database").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            call("store", [_wav(Path(folder), path.stem, np.load(path)) for path in tracks])
        (store / "whole").touch()

    def run_queries(queries: Sequence[NDArray[np.int16]]) -> list[QueryResult]:
        start = cpu_s()
        with tempfile.TemporaryDirectory() as folder:
            files = [_wav(Path(folder), str(n), query) for n, query in enumerate(queries)]
            text = call("query", files)
        return panako_results(text, len(queries), (cpu_s() - start) / len(queries))

    return run_queries


def panako_results(text: str, count: int, spent_s: float) -> list[QueryResult]:
    """Read what Panako prints: query, its span, track, its span, hashes, and how it is changed."""
    out: list[QueryResult] = [{"answers": [], "spans": [], "cpu_s": spent_s} for _ in range(count)]
    for line in text.splitlines():
        row = [cell.strip() for cell in line.split(";")]
        if len(row) < 10 or not row[0].isdigit() or float(row[9]) <= 0:
            continue
        start, end, place, score = (float(row[column]) for column in (3, 4, 7, 9))
        result = out[int(row[0]) - 1]
        result["answers"].append((Path(row[5]).stem, round((place - start) * RATE), score))
        result["spans"].append((start, end))
    return out


def _wav(folder: Path, name: str, samples: NDArray[np.int16]) -> Path:
    return write_wav(folder / f"{name}.wav", as_float(samples))
