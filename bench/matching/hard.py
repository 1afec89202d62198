"""False names among the hard kinds of audio, and the calibration of scores on them.

Questions of 30 s, as a worker asks them about music without a name, of audio whose kind is in the
catalogue too: made dance music, chip music, loops, tones, pads, drones, speech and babble; other
pieces of the same sample packs and over the same loops; and of real packages the other half of
each artist's tracks. Audio is made in memory, and only landmarks are kept.

``python -m bench.matching.hard --hours 30``       false names by kind, test split
``python -m bench.matching.hard --calibrate``      fits the tails in
fingerprint/matching/hypothesis.py on the validation split
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.matching import music, synthesis
from bench.matching.degradations import DegradationContext, babble, drones
from bench.matching.music import RATE
from bench.matching.queries import SPLITS
from bench.report import Report, arguments
from fingerprint.analysis.landmarks import Landmarks
from fingerprint.analysis.peaks import extract
from fingerprint.catalogue import Catalogue
from fingerprint.matching.hypothesis import THRESHOLD
from fingerprint.matching.matcher import (
    MAX_CANDIDATES,
    MAX_WARPED_CANDIDATES,
    LandmarkMatcher,
    cut,
)
from fingerprint.matching.warp import NO_WARP, warp_grid
from fingerprint.track import Track

Audio = NDArray[np.float32]

QUESTION_S = 30
# Packages of electronic and chip music; of each, every other track is in the catalogue.
PACKAGES = {
    "validation": ("marsshooter-data", "trackballs-data"),
    "test": ("davegnukem-data", "starfighter-data", "colobot-common-sounds"),
}
SHARED = {"same drums": synthesis.same_drums, "same loop": synthesis.same_loop}
# Nothing of these kinds is shared: whatever is named is wrong.
RHYTHMIC = ("electronic", "chip", "loops", "tones", "same artist")
_PIECE_S = 60
_IN_CATALOGUE = 10  # tracks of each made kind
_PACKS = 8  # sample libraries of a split, each of several tracks and of several questions


def tracks(split: str, folder: Path) -> Iterator[tuple[str, Audio]]:
    """Yield (key, samples) of the catalogue."""
    share = SPLITS[split]
    for number, (kind, make) in enumerate(synthesis.KINDS.items()):
        for index in range(_IN_CATALOGUE):
            rng = np.random.default_rng([share, 0, number, index])
            yield f"{kind} {index}", make(rng, _pack(split, index), _PIECE_S)
    for kind in SHARED:
        for index in range(_IN_CATALOGUE):
            yield f"{kind} {index}", _shared(kind, split, index, 0)
    for path in music.music(PACKAGES[split], folder)[::2]:
        yield path.stem, music.load(path)
    rng = np.random.default_rng([share, 3])
    for index, drone in enumerate(drones(_frozen(split, folder), 3, rng)):
        yield f"drone {index}", drone


def negatives(split: str, hours: float, folder: Path) -> Iterator[tuple[str, Audio]]:
    """Yield (kind, samples of a minute or more), all kinds in turn, about `hours` of them."""
    share = SPLITS[split]
    talk = DegradationContext(
        np.random.default_rng([share, 4]), music.speech(folder, max_clips=2000)[share::2]
    )
    other = [music.load(path) for path in music.music(PACKAGES[split], folder)[1::2]]
    frozen, left, index = _frozen(split, folder), hours * 3600.0, 0
    while left > 0:
        rng = np.random.default_rng([share, 1, index])
        for number, (kind, make) in enumerate(synthesis.KINDS.items()):
            # Pads are slow to make, and have few peaks.
            if kind != "pads" or index % 4 == 0:
                of_kind = np.random.default_rng([share, 1, number, index])
                yield kind, make(of_kind, _pack(split, index), _PIECE_S)
        for kind in SHARED:
            yield kind, _shared(kind, split, index % _IN_CATALOGUE, 1 + index // _IN_CATALOGUE)
        yield "speech", talk.talk(_PIECE_S * RATE)
        yield "babble", babble(_PIECE_S * RATE, talk)
        yield "drones", np.concatenate(drones(frozen, 1, rng))
        left -= 9 * _PIECE_S
        if index < len(other):
            yield "same artist", other[index]
            left -= len(other[index]) / RATE
        index += 1


def questions(split: str, hours: float, folder: Path) -> Iterator[tuple[str, Landmarks]]:
    """Yield (kind, landmarks of 30 s) of `negatives`."""
    for kind, samples in negatives(split, hours, folder):
        landmarks, length = extract(samples), QUESTION_S * RATE
        for start in range(0, landmarks.end - length + 1, length):
            yield kind, landmarks.between(start, start + length)


def count(matcher: LandmarkMatcher, asked: Iterator[tuple[str, Landmarks]], report: Report) -> None:
    """Report the names given, by kind."""
    total: defaultdict[str, int] = defaultdict(int)
    named: defaultdict[str, list[float]] = defaultdict(list)
    shared: defaultdict[str, int] = defaultdict(int)
    for kind, landmarks in asked:
        total[kind] += 1
        matches, shares = matcher.match_with_shares(landmarks)
        named[kind] += [max(match.score for match in matches)] if matches else []
        shared[kind] += bool(shares)
    for kind, n in total.items():
        report.row(
            kind,
            hours=n * QUESTION_S / 3600,
            false_names=len(named[kind]),
            shares=shared[kind],
            highest_score=max(named[kind], default=0.0),
        )
    report.row(
        "all",
        hours=sum(total.values()) * QUESTION_S / 3600,
        false_names=sum(map(len, named.values())),
        shares=sum(shared.values()),
    )


def calibrate(
    matcher: LandmarkMatcher, asked: Iterator[tuple[str, Landmarks]], report: Report
) -> None:
    """Fit the tail of the strongest wrong hypothesis of a question.

    Kinds that share a loop are left out: what they share is found rightly.
    """
    passes = {
        "as it is": ([NO_WARP], MAX_CANDIDATES),
        "changed": (warp_grid(), MAX_WARPED_CANDIDATES),
    }
    strongest: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in passes}
    for kind, landmarks in asked:
        if kind in SHARED:
            continue
        for name, (warps, most) in passes.items():
            found = matcher.hypotheses(cut(landmarks), warps, most)
            strongest[name][kind].append(max((each.z for each, _ in found), default=0.0))
    for name, by_kind in strongest.items():
        rhythmic = [z for kind in RHYTHMIC for z in by_kind[kind]]
        every = [z for values in by_kind.values() for z in values]
        for kinds, values in (*by_kind.items(), ("rhythmic", rhythmic), ("all", every)):
            if len(values) >= 20:
                report.row(f"tail, {name}, {kinds}", **tail(values))


def tail(values: list[float]) -> dict[str, float]:
    """Return the exponential through the largest twentieth of values, one for each question.

    It is fitted by its median: a piece of music that is in the catalogue after all does not count.
    """
    ordered = np.sort(values)[::-1]
    start = float(np.quantile(ordered, 0.95))
    per_decade = float(np.median(ordered[ordered > start]) - start) * float(np.log2(10))
    an_hour = 3600 / QUESTION_S
    one_an_hour = float(start + per_decade * np.log10(an_hour * 0.05))
    return {
        "hours": len(ordered) / an_hour,
        "largest_z": float(ordered[0]),
        "one_an_hour_z": one_an_hour,
        "per_decade_z": per_decade,
        "threshold_z": one_an_hour + THRESHOLD * per_decade,
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--audio", type=Path, default=music.default_folder(), metavar="FOLDER")
    parser.add_argument("--hours", type=float, default=30.0, metavar="H")
    parser.add_argument("--split", choices=tuple(SPLITS), default="test")
    parser.add_argument("--first-pass", action="store_true", help="without warps")
    parser.add_argument("--calibrate", action="store_true", help="on the validation split")
    options = parser.parse_args()
    split = "validation" if options.calibrate else options.split
    report = Report("hard negatives")
    with tempfile.TemporaryDirectory(prefix="airsift-hard-") as folder:
        catalogue = Catalogue.create(folder)
        for key, samples in tracks(split, options.audio):
            catalogue.add(samples, Track(key))
        catalogue.merge()
        matcher = LandmarkMatcher(catalogue, warp_search=not options.first_pass)
        asked = questions(split, options.hours, options.audio)
        (calibrate if options.calibrate else count)(matcher, asked, report)
        catalogue.close()
    report.finish(options.json)


def _pack(split: str, index: int) -> synthesis.Pack:
    return synthesis.pack(100 * SPLITS[split] + index % _PACKS)


def _shared(kind: str, split: str, index: int, piece: int) -> Audio:
    """Return piece number `piece` over loop number `index` of a kind."""
    rng = np.random.default_rng([SPLITS[split], 2, list(SHARED).index(kind), index])
    return SHARED[kind](rng, _pack(split, index), _PIECE_S, piece + 1)[piece]


def _frozen(split: str, folder: Path) -> list[Audio]:
    return [music.load(path) for path in music.music(PACKAGES[split], folder)[::4]]


if __name__ == "__main__":
    main()
