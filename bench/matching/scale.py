"""How the index of a large catalogue behaves: time of a question, memory, what is still found.

The postings are simulated, see `_postings.py`; what is measured on them is the matcher as it
is. Takes music of the fingerprint benchmark (fetched the first time, 1.3 GB), 3 GB of disk for
its time, and up to ten minutes; ``--quick`` one or two.
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
from bench.matching.degradations import Studio, conditions
from bench.matching.music import RATE, load
from bench.matching.simulated_index import Peaks, build, simulated
from bench.report import Report, arguments
from fingerprint.analysis import hashes
from fingerprint.analysis.landmarks import Landmarks
from fingerprint.analysis.peaks import extract
from fingerprint.catalogue import Catalogue
from fingerprint.matching import candidates
from fingerprint.matching.matcher import LandmarkMatcher
from fingerprint.matching.warp import NO_WARP
from fingerprint.track import Track

_HEARD = ("clean", "telephone", "white noise 0 dB", "babble 0 dB", "speech 5 dB louder")
# With fewer postings to read, lists of so small a catalogue are too short to tell rare keys from
# common ones.
_LEAST_BUDGET = 10_000
_LEAD = RATE  # audio before and after a query, so that codecs have settled


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
    pool = listened(unknown, options.audio, hours=1.0 if options.quick else 4.0)
    tracks = simulated(pool, 20 if options.quick else 100, rng)
    hours = len(tracks) * 240 / 3600
    asked = questions(options.audio, 10 if options.quick else 30)
    for copies, files in sizes(hours, quick=options.quick):
        row = at(tracks, copies, files, asked)
        report.row(f"{hours * copies * files:,.0f} h", **row)
        print(report.rows[-1], file=sys.stderr)
    found(options, tracks, report)
    report.finish(options.json)
    if options.picture:
        from bench.matching.scale_plot import draw

        draw(report.rows, options.picture)


def sizes(hours: float, *, quick: bool) -> list[tuple[int, int]]:
    """Return (copies of every list, segments) for what is measured."""
    small, large = max(round(100 / hours), 1), round(1000 / hours)
    return (
        [(small, 1), (large, 1)] if quick else [(small, 1), (large, 1), (large, 10), (large, 100)]
    )


def listened(packages: tuple[str, ...], audio: Path, hours: float) -> list[Landmarks]:
    """Return the landmarks of some hours of music, spread over the packages."""
    files = [_music.music((package,), audio) for package in packages]
    some, left = [], hours * 3600 * RATE
    for path in chain.from_iterable(zip_longest(*files)):
        if path is not None and left > 0:
            samples = load(path)
            some.append(extract(samples))
            left -= len(samples)
    return some


def questions(audio: Path, count: int) -> list[NDArray[np.float32]]:
    """Return long_queries of 10 s of music that the simulated tracks are not made of."""
    rng = np.random.default_rng(1)
    files = _music.music(_music.CATALOGUE, audio)
    out = []
    for index in rng.choice(len(files), count, replace=False):
        samples = load(files[index])
        start = int(rng.integers(len(samples) - 10 * RATE))
        out.append(samples[start : start + 10 * RATE])
    return out


def at(
    tracks: list[Peaks], copies: int, files: int, asked: list[NDArray[np.float32]]
) -> dict[str, float]:
    """Build a catalogue of a size, and measure it in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="airsift-scale-") as folder:
        shelf = Path(folder) / "shelf"
        build(shelf, tracks, copies, files).close()
        np.save(Path(folder) / "asked.npy", np.stack(asked))
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
    asked = [extract(samples) for samples in np.load(folder / "asked.npy")]
    before = _memory_mb()
    start = time.perf_counter()
    catalogue = Catalogue.open(folder / "shelf")
    opened = time.perf_counter() - start
    matcher = LandmarkMatcher(catalogue, warp_search=False)
    cold = [_spent(matcher, landmarks, time.perf_counter) for landmarks in asked]
    first = [_spent(matcher, landmarks, time.process_time) for landmarks in asked]
    matcher.warp_search = True
    both = [_spent(matcher, landmarks, time.process_time) for landmarks in asked[:10]]
    resident = _memory_mb()
    lists, read = _lists(catalogue, asked)
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


def _lists(catalogue: Catalogue, asked: list[Landmarks]) -> tuple[float, float]:
    """Return the mean length of the lists asked for, and how many of the keys are read."""
    lengths, read = [], []
    for landmarks in asked[:10]:
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
    """Report what the first pass finds when only the lists are read that a size allows.

    Real tracks lie among the simulated ones; the postings that may be read are as many fewer
    as the catalogue is smaller than the size in question, so the same keys are left out.
    """
    wanted = 3 if options.quick else 10
    music = _music.music(_music.CATALOGUE, options.audio)[:: 8 if options.quick else 3]
    speech = _music.speech(options.audio, most=100)
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
            if every * here / size > _LEAST_BUDGET
        }
        for condition in conditions():
            if condition.name not in _HEARD:
                continue
            right = dict.fromkeys(scales, 0)
            for number in range(wanted * 4):
                rng = np.random.default_rng(number)
                key = list(known)[rng.integers(len(known))]
                query = condition.apply(_clip(known[key], rng), Studio(rng, speech))
                landmarks = matcher.extract(query[_LEAD : _LEAD + 10 * RATE])
                for scale, most in scales.items():
                    catalogue.max_query_postings = most
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


def _memory_mb() -> float:
    """Return the largest memory this process has had resident."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1000
    raise RuntimeError("/proc/self/status has no VmHWM")


if __name__ == "__main__":
    main()
