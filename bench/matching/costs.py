"""CPU cost of the fingerprint matcher."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from bench.matching.matchers import index, open_catalogue
from bench.matching.music import NEGATIVES, RATE, load, music
from bench.matching.queries import PIECE_S
from bench.report import Report
from fingerprint.catalogue import Catalogue
from fingerprint.matching.matcher import LandmarkMatcher

Given = TypeVar("Given")
Result = TypeVar("Result")

_TRACKS = 30  # added to time the index, spread over all packages
_QUERIES = 100


def costs(tracks: list[Path], audio: Path, report: Report) -> None:
    """Report CPU times on one thread: adding tracks, queries with and without a match."""
    some = tracks[:: len(tracks) // _TRACKS]
    with tempfile.TemporaryDirectory(prefix="airsift-bench-") as folder:
        catalogue = Catalogue.create(folder)
        audio_s, spent = index(catalogue, some)
        catalogue.close()
    catalogue = open_catalogue(tracks, audio)
    report.row(
        "index",
        hours_added=audio_s / 3600,
        x_real_time=audio_s / spent,
        mb_per_hour_of_all=catalogue.stats()["megabytes_per_hour"],
    )
    first, both = LandmarkMatcher(catalogue, warp_search=False), LandmarkMatcher(catalogue)
    unknown = music(NEGATIVES["test"], audio)
    for name, paths in (("in the catalogue", tracks), ("not in the catalogue", unknown)):
        spent_s: dict[str, list[float]] = {"extract": [], "first": [], "both": []}
        for number in range(_QUERIES):
            rng = np.random.default_rng(number)
            samples = load(paths[int(rng.integers(len(paths)))])
            at = int(rng.integers(0, len(samples) - PIECE_S * RATE))
            query = samples[at : at + PIECE_S * RATE]
            landmarks = _timed(spent_s["extract"], both.extract, query)
            _timed(spent_s["first"], first.match, landmarks)
            _timed(spent_s["both"], both.match, landmarks)
        medians = {key: 1000 * float(np.median(values)) for key, values in spent_s.items()}
        report.row(
            f"10 s of music {name}",
            extract_ms=medians["extract"],
            first_pass_ms=medians["first"],
            first_in_all_ms=medians["extract"] + medians["first"],
            both_passes_ms=medians["both"],
        )


def _timed(spent: list[float], call: Callable[[Given], Result], given: Given) -> Result:
    start = time.process_time()
    result = call(given)
    spent.append(time.process_time() - start)
    return result
