"""Scaling of the index: time, memory and recall of queries in large catalogues.

A simulated index of 100 to 10 000 hours (see `simulated_index.py`) with real tracks, added last,
is queried with clips of these tracks and of other music. The matcher is the real one. What is
simulated competes with the real tracks: for the postings that a query may read, for the places
that are verified, and for the name.

The index holds the postings that these queries can read, so it needs 4.5 GB of disk and not 30.
Needs the music of the fingerprint benchmark (1.3 GB, downloaded once). With ``--work FOLDER``
queries and indexes stay there, and another run only measures.

``python -m bench.matching.scale``                everything
``python -m bench.matching.scale --quick``        up to 1 000 hours, a quarter of the queries
``python -m bench.matching.scale --write-docs``   puts tables and figure into
docs/large_catalogues.md
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.matching import music as _music
from bench.matching.degradations import Condition, DegradationContext, conditions
from bench.matching.music import RATE, load
from bench.matching.queries import SPLITS
from bench.matching.simulated_index import Blocks, ExpectedSegment, build
from bench.memory import peak_mb
from bench.report import Report, arguments
from fingerprint.analysis import hashes
from fingerprint.analysis.landmarks import Landmarks
from fingerprint.analysis.peaks import extract
from fingerprint.catalogue import Catalogue
from fingerprint.index.lookup import MAX_QUERY_POSTINGS, cheapest
from fingerprint.matching.candidates import find_candidates, query_keys
from fingerprint.matching.matcher import LandmarkMatcher
from fingerprint.matching.warp import NO_WARP, warp_grid

_CONDITIONS = (
    "clean",
    "telephone",
    "white noise 0 dB",
    "babble 0 dB",
    "speech 5 dB louder",
)
_SIZES = (100, 1_000, 10_000)  # hours
_LEAD = RATE  # margin around a query for codecs
_LENGTH = 10 * RATE
_BOTH = 5  # queries with the second pass
# The index is built for the keys of lists that together have this many times the postings that a
# query may read, because the lengths of the lists are only expected ones.
_MARGIN = 1.15


@dataclass(frozen=True, slots=True)
class Row:
    """What a catalogue of a size does.

    Parameters
    ----------
    hours, queries : int
        Simulated hours, and queries of known and unknown music.
    found_percent : dict of str to float
        By condition, of the queries of known music.
    wrong, false : int
        Queries of known music that were given another track, and of unknown music any.
    costs : dict of str to float
        Times and sizes, with the unit as suffix.
    """

    hours: int
    queries: int
    found_percent: dict[str, float]
    wrong: int
    false: int
    costs: dict[str, float]


@dataclass(frozen=True)
class Query:
    """Landmarks to look up, and the track they come from; empty if the catalogue has none."""

    condition: str
    track: str
    landmarks: str  # packed

    def unpacked(self) -> Landmarks:
        return Landmarks.unpack(self.landmarks)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--audio", type=Path, default=_music.default_folder(), metavar="FOLDER")
    parser.add_argument("--quick", action="store_true", help="up to 1 000 hours, fewer queries")
    parser.add_argument("--hours", type=int, nargs="+", help="sizes, instead of 100 to 10 000")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="keep indexes here")
    parser.add_argument("--write-docs", action="store_true", help="into docs/large_catalogues.md")
    parser.add_argument("--known", nargs="+", default=_music.CATALOGUE, metavar="PACKAGE")
    parser.add_argument(
        "--rivals", nargs="+", default=_music.NEGATIVES["validation"], metavar="PACKAGE"
    )
    parser.add_argument("--unknown", nargs="+", default=_music.NEGATIVES["test"], metavar="PACKAGE")
    parser.add_argument("--measure", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(asdict(measure(options.measure))))
        return
    with tempfile.TemporaryDirectory(prefix="airsift-scale-") as name:
        rows = run(options, options.work or Path(name))
    report = Report("fingerprint at scale")
    for row in rows:
        report.row(f"{row.hours:,} h", **row.costs)
    for condition in rows[0].found_percent:
        report.row(
            f"found %: {condition}",
            **{f"{row.hours:,} h": row.found_percent[condition] for row in rows},
        )
    for row in rows:
        report.row(f"{row.hours:,} h", wrong_tracks=row.wrong, unknown_music_named=row.false)
    report.finish(options.json)
    if options.write_docs:
        from bench.matching import scale_page

        scale_page.write(rows)


def run(options: argparse.Namespace, work: Path) -> list[Row]:
    """Measure catalogues of all sizes, each in a new process."""
    sizes = options.hours or (_SIZES[:2] if options.quick else _SIZES)
    if not all((work / str(hours) / "whole").exists() for hours in sizes):
        _prepare(options, work, sizes)
    rows = []
    for hours in sizes:
        command = [sys.executable, "-m", "bench.matching.scale", "--measure", work / str(hours)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append(Row(**json.loads(done.stdout.splitlines()[-1])))
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def _prepare(options: argparse.Namespace, work: Path, sizes: Sequence[int]) -> None:
    """Build the catalogues that are not there."""
    # The tracks and voices with which nothing was chosen, see `queries`.
    tracks = _music.music(tuple(options.known), options.audio)[SPLITS["test"] :: 2]
    tracks = tracks[:: max(len(tracks) // (30 if options.quick else 70), 1)]
    number = 10 if options.quick else 40
    queries = known_queries(tracks, number, options.audio)
    queries += unknown_queries(_music.music(tuple(options.unknown), options.audio), number // 2)
    known = {path.stem: extract(load(path)) for path in tracks}
    blocks = Blocks(rivals(options.rivals, options.audio, hours=1.0 if options.quick else 4.0))
    rates = blocks.rates()
    for hours in sizes:
        folder = work / str(hours)
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)
            prepare(folder, hours, blocks, rates, known, queries)
            (folder / "whole").touch()
            print(f"{hours:,} h are built", file=sys.stderr, flush=True)


def rivals(packages: list[str], audio: Path, hours: float) -> list[Landmarks]:
    """Return the landmarks of some hours of music, evenly from all packages."""
    files = [_music.music((package,), audio) for package in packages]
    some, left = [], hours * 3600 * RATE
    for path in chain.from_iterable(zip_longest(*files)):
        if path is not None and left > 0:
            samples = load(path)
            some.append(extract(samples))
            left -= len(samples)
    return some


def known_queries(tracks: list[Path], number: int, audio: Path) -> list[Query]:
    """Return clips of 10 s of the tracks, `number` of each condition."""
    speech = _music.speech(audio, max_clips=600)[SPLITS["test"] :: 2]
    return [
        _query(condition, speech, tracks, seed)
        for condition in conditions()
        if condition.name in _CONDITIONS
        for seed in range(number)
    ]


def unknown_queries(files: list[Path], number: int) -> list[Query]:
    """Return clips of 10 s of music that is not in the catalogue."""
    clean = Condition("", lambda samples, _: samples)
    return [Query("", "", _query(clean, [], files, seed).landmarks) for seed in range(number)]


def _query(
    condition: Condition, speech: list[NDArray[np.float32]], files: list[Path], seed: int
) -> Query:
    rng = np.random.default_rng(seed)
    path = files[rng.integers(len(files))]
    samples = load(path)
    for _ in range(50):
        start = int(rng.integers(max(len(samples) - _LENGTH - 2 * _LEAD, 1)))
        clip = samples[start : start + _LENGTH + 2 * _LEAD]
        if _music.rms(clip) > 0.01:
            break
    clip = clip * np.float32(0.1 / max(_music.rms(clip), 1e-4))
    clip = condition.apply(clip, DegradationContext(rng, speech))[_LEAD : _LEAD + _LENGTH]
    return Query(condition.name, path.stem, extract(clip).pack())


def prepare(
    folder: Path,
    hours: int,
    blocks: Blocks,
    rates: NDArray[np.float64],
    known: dict[str, Landmarks],
    queries: list[Query],
) -> None:
    """Build a catalogue of a size, with the postings that the queries may read."""
    expected = ExpectedSegment(rates * hours)
    lists, read, limit = [], [], round(_MARGIN * MAX_QUERY_POSTINGS)
    unknown = [query for query in queries if not query.track]
    for query in queries:
        pairs = hashes.query_pairs(query.unpacked(), 6, 6)
        find_candidates([expected], pairs, [NO_WARP], 1, limit)
        if query in unknown[:_BOTH]:
            find_candidates([expected], pairs, warp_grid(), 1, limit)
        keys, _, worth = query_keys(pairs, NO_WARP)
        _, count = expected.lists(keys)
        lists.append(float(count.mean()))
        read.append(100 * len(cheapest(count, worth, MAX_QUERY_POSTINGS)) / max(len(count), 1))
    blocks.want(expected.wanted)
    folder.mkdir(parents=True)
    catalogue = build(folder / "shelf", blocks, hours, known, seed=hours)
    about = {
        "postings_million": round(float(rates.sum()) * hours / 1e6),
        "segments": len(catalogue.segments),
        "list": float(np.median(lists)),
        "keys_read_percent": float(np.median(read)),
    }
    catalogue.close()
    stored = {"hours": hours, "about": about, "queries": [asdict(query) for query in queries]}
    (folder / "queries.json").write_text(json.dumps(stored))


def measure(folder: Path) -> Row:
    """Query the catalogue in a folder."""
    for path in (folder / "shelf" / "segments").iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    stored = json.loads((folder / "queries.json").read_text())
    queries = [Query(**fields) for fields in stored["queries"]]
    landmarks = [query.unpacked() for query in queries]
    before = peak_mb()
    start = time.process_time()
    catalogue = Catalogue.open(folder / "shelf")
    opened = time.process_time() - start
    matcher = LandmarkMatcher(catalogue, warp_search=False)
    unknown = [each for query, each in zip(queries, landmarks, strict=True) if not query.track]
    cold = [_spent(catalogue, each, time.perf_counter) for each in unknown]
    first = [_spent(catalogue, each, time.process_time) for each in unknown]
    both = [
        _spent(catalogue, each, time.process_time, warp_search=True) for each in unknown[:_BOTH]
    ]
    found: dict[str, list[bool]] = {}
    wrong = false = 0
    for query, each in zip(queries, landmarks, strict=True):
        tracks = {match.track for match in matcher.match(each)}
        if query.track:
            found.setdefault(query.condition, []).append(query.track in tracks)
            wrong += bool(tracks - {query.track})
        else:
            false += bool(tracks)
    costs = stored["about"] | {
        "open_ms": 1000 * opened,
        "cold_wall_ms": 1000 * float(np.median(cold)),
        "first_ms": 1000 * float(np.median(first)),
        "both_ms": 1000 * float(np.median(both)),
        "resident_mb": peak_mb(),
        "without_index_mb": before,
    }
    percent = {name: 100 * float(np.mean(each)) for name, each in found.items()}
    return Row(stored["hours"], len(queries), percent, wrong, false, costs)


def _spent(
    catalogue: Catalogue,
    landmarks: Landmarks,
    clock: Callable[[], float],
    *,
    warp_search: bool = False,
) -> float:
    """Return the seconds of a query by a matcher that has not seen it before."""
    matcher = LandmarkMatcher(catalogue, warp_search=warp_search)
    start = clock()
    matcher.match(landmarks)
    return clock() - start


if __name__ == "__main__":
    main()
