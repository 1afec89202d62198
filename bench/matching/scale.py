"""Scaling of the index: query time, memory and recall for large catalogues.

The postings are simulated (see `simulated_index.py`); the matcher is the real one. Needs the music
of the fingerprint benchmark (1.3 GB, downloaded once), 3 GB of disk, and up to ten minutes, or two
with ``--quick``.
``python -m bench.matching.scale [--quick] [--json FILE] [--picture FILE]``
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.matching import music as _music
from bench.matching.degradations import DegradationContext, conditions
from bench.matching.music import RATE, load
from bench.matching.simulated_index import Peaks, build, simulated
from bench.memory import peak_mb
from bench.report import Report, arguments
from fingerprint.analysis import hashes
from fingerprint.analysis.landmarks import Landmarks
from fingerprint.analysis.peaks import extract
from fingerprint.catalogue import Catalogue
from fingerprint.matching import candidates
from fingerprint.matching.matcher import LandmarkMatcher
from fingerprint.matching.warp import NO_WARP
from fingerprint.track import Track

_CONDITIONS = ("clean", "telephone", "white noise 0 dB", "babble 0 dB", "speech 5 dB louder")
# With a smaller budget, the lists are too short to separate rare from common keys.
_MIN_BUDGET = 10_000
_LEAD = RATE  # margin around a query for codecs


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--audio", type=Path, default=_music.default_folder(), metavar="FOLDER")
    parser.add_argument("--quick", action="store_true", help="up to 1 000 hours, fewer questions")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the curve")
    parser.add_argument("--measure", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return
    report = Report("fingerprint at scale")
    rng = np.random.default_rng(0)
    unknown = _music.NEGATIVES["validation"]
    pool = music_landmarks(unknown, options.audio, hours=1.0 if options.quick else 4.0)
    tracks = simulated(pool, 20 if options.quick else 100, rng)
    hours = len(tracks) * 240 / 3600
    queries = questions(options.audio, 10 if options.quick else 30)
    for copies, files in sizes(hours, quick=options.quick):
        row = at(tracks, copies, files, queries)
        report.row(f"{hours * copies * files:,.0f} h", **row)
        print(report.rows[-1], file=sys.stderr)
    found(options, tracks, report)
    report.finish(options.json)
    if options.picture:
        from bench.matching.scale_plot import draw

        draw(report.rows, options.picture)


def sizes(hours: float, *, quick: bool) -> list[tuple[int, int]]:
    """Return (copies of every list, segments) of the catalogues."""
    small, large = max(round(100 / hours), 1), round(1000 / hours)
    return (
        [(small, 1), (large, 1)] if quick else [(small, 1), (large, 1), (large, 10), (large, 100)]
    )


def music_landmarks(packages: tuple[str, ...], audio: Path, hours: float) -> list[Landmarks]:
    """Return the landmarks of some hours of music of all packages."""
    files = [_music.music((package,), audio) for package in packages]
    some, left = [], hours * 3600 * RATE
    for path in chain.from_iterable(zip_longest(*files)):
        if path is not None and left > 0:
            samples = load(path)
            some.append(extract(samples))
            left -= len(samples)
    return some


def questions(audio: Path, count: int) -> list[NDArray[np.float32]]:
    """Return 10 s clips of music that is not in the simulated tracks."""
    rng = np.random.default_rng(1)
    files = _music.music(_music.CATALOGUE, audio)
    out = []
    for index in rng.choice(len(files), count, replace=False):
        samples = load(files[index])
        start = int(rng.integers(len(samples) - 10 * RATE))
        out.append(samples[start : start + 10 * RATE])
    return out


def at(
    tracks: list[Peaks], copies: int, files: int, queries: list[NDArray[np.float32]]
) -> dict[str, float]:
    """Build a catalogue of a size, and measure it in a separate process."""
    with tempfile.TemporaryDirectory(prefix="airsift-scale-") as folder:
        shelf = Path(folder) / "shelf"
        build(shelf, tracks, copies, files).close()
        np.save(Path(folder) / "queries.npy", np.stack(queries))
        command = [sys.executable, "-m", "bench.matching.scale", "--measure", folder]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure(folder: Path) -> None:
    """Ask the catalogue in a folder; print the figures as JSON."""
    for path in (folder / "shelf" / "segments").iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    queries = [extract(samples) for samples in np.load(folder / "queries.npy")]
    before = peak_mb()
    start = time.perf_counter()
    catalogue = Catalogue.open(folder / "shelf")
    opened = time.perf_counter() - start
    matcher = LandmarkMatcher(catalogue, warp_search=False)
    cold = [_spent(matcher, landmarks, time.perf_counter) for landmarks in queries]
    first = [_spent(matcher, landmarks, time.process_time) for landmarks in queries]
    matcher.warp_search = True
    both = [_spent(matcher, landmarks, time.process_time) for landmarks in queries[:10]]
    resident = peak_mb()
    lists, read = _lists(catalogue, queries)
    print(
        json.dumps(
            {
                "postings_million": round(catalogue.stats()["postings"] / 1e6),
                "list": lists,
                "keys_read_percent": read,
                "open_ms": 1000 * opened,
                "cold_wall_ms": 1000 * float(np.median(cold)),
                "first_ms": 1000 * float(np.median(first)),
                "both_ms": 1000 * float(np.median(both)),
                "resident_mb": resident,
                "without_index_mb": before,
            }
        )
    )


def _lists(catalogue: Catalogue, queries: list[Landmarks]) -> tuple[float, float]:
    """Return the mean length of the lists of the queries, and the share of keys that are read."""
    lengths, read = [], []
    for landmarks in queries[:10]:
        keys, _ = candidates.query_keys(hashes.query_pairs(landmarks, 6, 6), NO_WARP)
        postings = 0
        for part in catalogue.segments:
            which, _ = part.look_up(keys)
            known = len(np.unique(which))
            part.max_postings = 2**62
            every, _ = part.look_up(keys)
            read.append(100 * known / max(len(np.unique(every)), 1))
            postings += len(every)
        lengths.append(postings / len(keys))
    return float(np.median(lengths)), float(np.median(read))


def found(options: argparse.Namespace, tracks: list[Peaks], report: Report) -> None:
    """Report the recall of the first pass with the postings budget of larger catalogues.

    Real tracks are added to the simulated ones. The budget is scaled down by the ratio of the
    sizes, so that the same keys are left out.
    """
    wanted = 3 if options.quick else 10
    music = _music.music(_music.CATALOGUE, options.audio)[:: 8 if options.quick else 3]
    speech = _music.speech(options.audio, max_clips=100)
    with tempfile.TemporaryDirectory(prefix="airsift-scale-") as folder:
        catalogue = build(Path(folder) / "shelf", tracks, 1, 1)
        known = {path.stem: load(path) for path in music}
        with catalogue.writing():
            for key, samples in known.items():
                catalogue.add(samples, Track(key))
        matcher = LandmarkMatcher(catalogue, warp_search=False)
        every, here = catalogue.max_query_postings, catalogue.stats()["hours"]
        scales = {"all lists": 2**62} | {
            f"as at {size:,} h": round(every * here / size)
            for size in (1000, 10_000, 100_000)
            if every * here / size > _MIN_BUDGET
        }
        for condition in conditions():
            if condition.name not in _CONDITIONS:
                continue
            right = dict.fromkeys(scales, 0)
            for number in range(wanted * 4):
                rng = np.random.default_rng(number)
                key = list(known)[rng.integers(len(known))]
                query = condition.apply(_clip(known[key], rng), DegradationContext(rng, speech))
                landmarks = matcher.extract(query[_LEAD : _LEAD + 10 * RATE])
                for scale, max_postings in scales.items():
                    catalogue.max_query_postings = max_postings
                    answers = matcher.match(landmarks)
                    right[scale] += any(answer.track == key for answer in answers)
            figures = {name: 100 * count / (wanted * 4) for name, count in right.items()}
            report.row(f"found %: {condition.name}", **figures)
            print(report.rows[-1], file=sys.stderr)
        catalogue.close()


def _clip(samples: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    length = 10 * RATE + 2 * _LEAD
    for _ in range(50):
        start = int(rng.integers(max(len(samples) - length, 1)))
        clip = samples[start : start + length]
        if _music.rms(clip) > 0.01:
            break
    return clip * np.float32(0.1 / max(_music.rms(clip), 1e-4))


def _spent(matcher: LandmarkMatcher, landmarks: Landmarks, clock: Callable[[], float]) -> float:
    start = clock()
    matcher.match(landmarks)
    return clock() - start


if __name__ == "__main__":
    main()
