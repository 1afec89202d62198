"""The fingerprint matcher: what it finds of changed music, and that it says nothing else.

A catalogue of about 190 tracks from Debian packages, queries of 10 and 5 s cut from them and
changed, and hours of music that is not in it. Fetches about 1.3 GB the first time.
``python bench/fingerprint.py [--json FILE] [--queries N] [--negatives-h H] [--calibrate]``
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import _music
import numpy as np
from _degrade import Condition, Studio, conditions, drones
from _music import RATE, load
from _report import Report, arguments
from numpy.typing import NDArray

from airsift.errors import CatalogueError
from fingerprint.catalogue import Catalogue
from fingerprint.change import NONE, grid
from fingerprint.matcher import MOST, MOST_CHANGED, LandmarkMatcher, TrackMatch
from fingerprint.metadata import Track
from fingerprint.score import THRESHOLD
from fingerprint.spectrum import log_spectrum

Given = TypeVar("Given")
Result = TypeVar("Result")

_SHORT = ("clean", "MP3 64 kb/s", "telephone", "speech 5 dB louder")
_LEAD_S = 1.0  # audio before and after a query, so that codecs and rooms have settled


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--audio", type=Path, default=_music.default_folder(), metavar="FOLDER")
    parser.add_argument("--queries", type=int, default=60, metavar="N", help="per condition")
    parser.add_argument("--negatives-h", type=float, default=3.0, metavar="H")
    parser.add_argument("--catalogue", type=Path, metavar="FOLDER", help="kept between runs")
    parser.add_argument("--calibrate", action="store_true", help="fit fingerprint/score.py")
    options = parser.parse_args()

    report = Talking("fingerprint")
    tracks = _music.music(_music.CATALOGUE, options.audio)
    folder = options.catalogue or Path(tempfile.mkdtemp(prefix="airsift-bench-"))
    try:
        if options.catalogue and folder.exists():
            catalogue = Catalogue.open(folder)
        else:
            catalogue = index(tracks, folder, report)
        if options.calibrate:
            calibrate(catalogue, negatives(options, even=True), report)
        else:
            speech = _music.speech(options.audio, most=600)
            by_key = {path.stem: load(path) for path in tracks}
            for condition in conditions():
                recall(catalogue, by_key, condition, speech, 10, options.queries, report)
            for condition in conditions():
                if condition.name in _SHORT:
                    recall(catalogue, by_key, condition, speech, 5, options.queries, report)
            silence(catalogue, negatives(options, even=False), by_key, options, report)
        catalogue.close()
    finally:
        if not options.catalogue:
            shutil.rmtree(folder)
    report.finish(options.json)


class Talking(Report):
    """A report that also says each row as it comes: the whole takes a while."""

    def row(self, name: str, **figures: float | str) -> None:
        print(name, {key: _short(value) for key, value in figures.items()}, file=sys.stderr)
        super().row(name, **figures)


def _short(value: float | str) -> float | str:
    return value if isinstance(value, str) else round(value, 2)


def index(tracks: list[Path], folder: Path, report: Report) -> Catalogue:
    """Build the catalogue; report speed and size."""
    catalogue = Catalogue.create(folder)
    spent = heard = 0.0
    for path in tracks:
        samples = load(path)
        start = time.process_time()
        try:
            catalogue.add(samples, Track(path.stem))
        except CatalogueError as error:
            print(f"left out: {error}")
        spent += time.process_time() - start
        heard += len(samples) / RATE
    catalogue.merge()
    stats = catalogue.stats()
    report.row(
        "index",
        tracks=stats["tracks"],
        hours=stats["hours"],
        x_real_time=heard / spent,
        mb_per_hour=stats["megabytes_per_hour"],
    )
    return catalogue


def recall(
    catalogue: Catalogue,
    tracks: dict[str, NDArray[np.float32]],
    condition: Condition,
    speech: list[NDArray[np.float32]],
    seconds: int,
    queries: int,
    report: Report,
) -> None:
    """Report the share of queries found, at the right place, and the CPU they took."""
    first_only = LandmarkMatcher(catalogue, thorough=False)
    both = catalogue.matcher()
    found_first = found = wrong = placed = repeats = 0
    cpu: dict[str, list[float]] = {"extract": [], "first": [], "both": []}
    for number in range(queries):
        rng = np.random.default_rng([seconds, number])
        key = list(tracks)[rng.integers(len(tracks))]
        start, clip = _cut(tracks[key], seconds * condition.speed + 2 * _LEAD_S, rng)
        changed = condition.apply(clip, Studio(rng, speech))
        lead = int(_LEAD_S * RATE)
        query = changed[lead : lead + seconds * RATE]
        truth = start + round(lead * condition.speed)

        landmarks = _timed(cpu["extract"], both.extract, query)
        alone = _timed(cpu["first"], first_only.match, landmarks)
        answers = _timed(cpu["both"], both.match, landmarks)
        found_first += any(answer.track == key for answer in alone)
        right = False
        for answer in answers:
            place = _place(answer)
            if answer.track == key and abs(place - truth) <= 0.1 * RATE:
                right = True
                placed += 1
            elif _same_sound(tracks[answer.track], place, tracks[key], truth, seconds):
                right = True  # a loop, or a piece that two tracks share
                repeats += 1
            elif answer.track == key:
                right = True
            else:
                wrong += 1
                print(f"wrong: {key} at {truth}: {answer}")
        found += right
    unique = found - repeats
    report.row(
        f"{condition.name}, {seconds} s",
        found_percent=100 * found / queries,
        first_pass_percent=100 * found_first / queries,
        wrong=wrong,
        place_percent=100 * placed / max(unique, 1),
        repeats=repeats,
        **{f"{name}_ms": 1000 * float(np.median(spent)) for name, spent in cpu.items()},
    )


def silence(
    catalogue: Catalogue,
    unknown: dict[str, NDArray[np.float32]],
    tracks: dict[str, NDArray[np.float32]],
    options: argparse.Namespace,
    report: Report,
) -> None:
    """Report what is said of audio that is not in the catalogue, in pieces of 10 s."""
    matcher = catalogue.matcher()
    rng = np.random.default_rng(0)
    ambience = drones(list(tracks.values()), 30.0, rng)
    talk = [np.concatenate(_music.speech(options.audio, most=600))]
    for name, audio in (
        ("music", list(unknown.values())),
        ("drones and ambience", ambience),
        ("speech", talk),
    ):
        answers: list[TrackMatch] = []
        count, spent = 0, []
        for samples in audio:
            for start in range(0, len(samples) - 10 * RATE + 1, 10 * RATE):
                landmarks = matcher.extract(samples[start : start + 10 * RATE])
                answers += _timed(spent, matcher.match, landmarks)
                count += 1
        for answer in answers:
            print(f"false match: {answer}")
        report.row(
            f"not in the catalogue: {name}",
            hours=count * 10 / 3600,
            false_matches=len(answers),
            both_ms=1000 * float(np.median(spent)),
        )


def calibrate(
    catalogue: Catalogue, unknown: dict[str, NDArray[np.float32]], report: Report
) -> None:
    """Fit the tail of the strongest guesses of audio that is not in the catalogue."""
    matcher = catalogue.matcher()
    passes = {"as it is": ([NONE], MOST), "changed": (grid(), MOST_CHANGED)}
    strongest: dict[str, list[tuple[float, str]]] = {name: [] for name in passes}
    for key, samples in unknown.items():
        for start in range(0, len(samples) - 10 * RATE + 1, 10 * RATE):
            landmarks = matcher.extract(samples[start : start + 10 * RATE])
            for name, (changes, most) in passes.items():
                cases = matcher.cases([landmarks], changes, most)
                best = max(((case.evidence[0].z, track.key) for case, track in cases), default=None)
                if best is not None:
                    strongest[name].append((best[0], f"{key} at {start / RATE:.0f} s, {best[1]}"))
    for name, found in strongest.items():
        found.sort(reverse=True)
        for z, where in found[:5]:
            print(f"{name}: z {z:.1f}, {where}")
        # An exponential through the largest twentieth, by its median: a few pieces of music
        # that are in the catalogue after all do not count.
        values = np.array([z for z, _ in found])
        start_z = float(np.quantile(values, 0.95))
        per_decade = float(np.median(values[values > start_z]) - start_z) * float(np.log2(10))
        one_an_hour = float(start_z + per_decade * np.log10(360 * 0.05))
        report.row(
            f"tail, {name}",
            hours=len(values) / 360,
            largest_z=found[0][0],
            one_an_hour_z=one_an_hour,
            per_decade_z=per_decade,
            threshold_z=one_an_hour + THRESHOLD * per_decade,
        )


def negatives(options: argparse.Namespace, *, even: bool) -> dict[str, NDArray[np.float32]]:
    """Return about the hours asked for of unknown music; what calibrates does not test."""
    files = _music.music(_music.NEGATIVES, options.audio)[0 if even else 1 :: 2]
    left = options.negatives_h * 3600 * RATE
    share = left / sum(len(np.load(path, mmap_mode="r")) for path in files)
    return {
        path.stem: load(path)[: int(min(share, 1) * len(np.load(path, mmap_mode="r")))]
        for path in files
    }


def _cut(
    track: NDArray[np.float32], seconds: float, rng: np.random.Generator
) -> tuple[int, NDArray[np.float32]]:
    """Return a stretch of a track that is not silent, and where it starts."""
    length = round(seconds * RATE)
    for _ in range(50):
        start = int(rng.integers(0, max(len(track) - length, 1)))
        clip = track[start : start + length]
        if _music.rms(clip) > 0.01:
            break
    return start, clip * np.float32(0.1 / max(_music.rms(clip), 1e-4))


def _place(answer: TrackMatch) -> int:
    """Return the place in the track at the start of the query."""
    return round(answer.track_start - answer.query_start * answer.speed)


def _same_sound(
    one: NDArray[np.float32], a: int, other: NDArray[np.float32], b: int, seconds: int
) -> bool:
    """Return whether place `a` of one track sounds like place `b` of another, or of itself."""
    low = max(0, -min(a, b))
    n = min(seconds * RATE, len(one) - a, len(other) - b) - low
    if n < RATE:
        return False
    spectra = [log_spectrum(x[y + low : y + low + n]) for x, y in ((one, a), (other, b))]
    # Each bin's mean is taken away: two tracks of one style are alike in it.
    first, second = (np.maximum(x, -40) - np.maximum(x, -40).mean(axis=0) for x in spectra)
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1]) > 0.6


def _timed(spent: list[float], call: Callable[[Given], Result], given: Given) -> Result:
    start = time.process_time()
    result = call(given)
    spent.append(time.process_time() - start)
    return result
