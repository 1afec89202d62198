"""Training of pairwise boosted fingerprints: filters by asymmetric boosting over pairs of frames.

``python -m bench.matching.pairwise_training``    trains, and writes pairwise.json

A matching pair is a frame and its degraded copy, on another grid of frames; the other pairs are of
two tracks. A weak classifier says that a pair matches if one bit is equal in both. Each round adds
the filter and threshold with the least weighted error, and raises the weights of the pairs that it
gets wrong. A missed match costs more than a false one. The music is that of the benchmark's
validation negatives, and the voices that of its validation split: nothing of it is in the test.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.matching import music
from bench.matching.degradations import DegradationContext, conditions
from bench.matching.music import RATE
from bench.matching.pairwise import (
    BANDS,
    BITS,
    HOP,
    KINDS,
    MAX_WIDTH,
    BoxFilter,
    integral_image,
    save_filters,
    spectral_image,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MISS_COST = 1.5  # of a matching pair that is missed; 1 of another that is taken for one
# Thresholds near the median: a bit that is nearly always the same would never miss.
QUANTILES = (0.4, 0.45, 0.5, 0.55, 0.6)
CANDIDATES = 1500
CLIPS, CLIP_S, FRAMES = 400, 6.0, 8
DEGRADATIONS = (
    "clean",
    "MP3 64 kb/s",
    "telephone",
    "equaliser",
    "white noise 0 dB",
    "babble 0 dB",
    "speech 5 dB louder",
    "reverb 1 s",
)
_NOTE = (
    "Filters selected by python -m bench.matching.pairwise_training on music of the Debian "
    "packages {packages} and voices of {speech}, whose licences are in their copyright files. "
    "32 filters hold no audio; this file has the licence of airsift, Apache-2.0."
)


def candidates(count: int, random: np.random.Generator) -> list[BoxFilter]:
    """Return different random filters that fit the image and the span of frames."""
    found: dict[BoxFilter, None] = {}
    while len(found) < count:
        each = BoxFilter(
            int(random.integers(len(KINDS))),
            int(random.integers(BANDS)),
            int(random.integers(1, BANDS // 2 + 1)),
            int(random.integers(1, MAX_WIDTH + 1)),
        )
        if each.band + each.bands <= BANDS and each.frames <= MAX_WIDTH:
            found[each] = None
    return list(found)


def boost(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    is_match: NDArray[np.bool_],
    rounds: int = BITS,
) -> tuple[list[tuple[int, float]], list[float]]:
    """Select filters and thresholds.

    Parameters
    ----------
    first, second : np.ndarray [shape=(filters, pairs), float32]
        Responses of each filter to both frames of each pair.
    is_match : np.ndarray [shape=(pairs,), bool]
        Which pairs match.
    rounds : int > 0
        Number of filters to select, each once.

    Returns
    -------
    chosen : list of (int, float)
        Index of the filter, and its threshold.
    losses : list of float
        Weighted exponential loss over the pairs after each round; it is 1 before the first, and
        bounds the weighted share of wrong pairs.
    """
    values = np.concatenate([first, second], axis=1)
    thresholds = np.quantile(values, QUANTILES, axis=1).T.astype(np.float32)
    # Whether each filter's bit at each threshold is wrong about each pair.
    wrong = np.empty((len(first), len(QUANTILES), first.shape[1]), np.float32)
    for place in range(len(QUANTILES)):
        at = thresholds[:, place, None]
        wrong[:, place] = ((first > at) == (second > at)) != is_match
    weights = np.where(is_match, MISS_COST / is_match.sum(), 1 / (~is_match).sum())
    weights = (weights / weights.sum()).astype(np.float64)
    chosen: list[tuple[int, float]] = []
    losses: list[float] = []
    loss = 1.0
    for _ in range(rounds):
        errors = wrong @ weights.astype(np.float32)
        errors[[index for index, _ in chosen]] = np.inf
        best, place = np.unravel_index(int(errors.argmin()), errors.shape)
        mistaken = wrong[best, place].astype(np.float64)
        error = float(weights @ mistaken)
        if not 0 < error < 0.5:
            raise ValueError(f"no filter is left that helps: the best errs in {error:.3f}")
        strength = 0.5 * np.log((1 - error) / error)
        weights *= np.exp(strength * (2 * mistaken - 1))
        loss *= float(weights.sum())
        weights /= weights.sum()
        chosen.append((int(best), float(thresholds[best, place])))
        losses.append(loss)
    return chosen, losses


def train(
    tracks: Sequence[Path], speech: list[NDArray[np.float32]], seed: int = 0
) -> tuple[list[BoxFilter], list[float]]:
    """Return filters trained on tracks, and the losses of the rounds."""
    random = np.random.default_rng(seed)
    filters = candidates(CANDIDATES, random)
    usable = [each for each in conditions() if each.name in DEGRADATIONS]
    clean, changed = [], []
    for number in range(CLIPS):
        track = np.load(tracks[int(random.integers(len(tracks)))], mmap_mode="r")
        length = round(CLIP_S * RATE)
        at = int(random.integers(max(len(track) - length - RATE, 1)))
        clip = track[at : at + length + RATE].astype(np.float32) / np.float32(32767)
        clip *= np.float32(0.1 / max(music.rms(clip), 1e-4))
        condition = usable[number % len(usable)]
        degraded = condition.apply(clip, DegradationContext(random, speech))
        degraded = np.pad(degraded, (0, max(length + RATE - len(degraded), 0)))
        lead = RATE // 2
        shift = int(random.integers(-HOP // 2, HOP // 2))  # the frames of a query lie anywhere
        clean.append(spectral_image(clip[lead : lead + length]))
        changed.append(spectral_image(degraded[lead + shift : lead + shift + length]))
    images = [integral_image(np.stack(each)) for each in (clean, changed)]
    frames = images[0].shape[1] - MAX_WIDTH
    places = random.integers(frames, size=(CLIPS, FRAMES))
    rows = np.arange(CLIPS)[:, None]
    responses = [
        np.stack([each.responses(image)[rows, places].ravel() for each in filters])
        for image in images
    ]
    pairs = responses[0].shape[1]
    # Another track's frame for each: half of the clips further on.
    other = np.roll(responses[1], pairs // 2 + FRAMES * int(random.integers(CLIPS // 4)), axis=1)
    first = np.concatenate([responses[0], responses[0]], axis=1)
    second = np.concatenate([responses[1], other], axis=1)
    chosen, losses = boost(first, second, np.arange(2 * pairs) < pairs)
    return [
        replace(filters[index], threshold=round(threshold, 4)) for index, threshold in chosen
    ], losses


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--audio", type=Path, default=music.default_folder(), metavar="FOLDER")
    options = parser.parse_args()
    packages = music.NEGATIVES["validation"]
    tracks = music.music(packages, options.audio)
    filters, losses = train(tracks, music.speech(options.audio, max_clips=2000)[0::2])
    note = _NOTE.format(packages=" and ".join(packages), speech=", ".join(music.SPEECH))
    save_filters(filters, note)
    for number, (each, loss) in enumerate(zip(filters, losses, strict=True), 1):
        print(f"{number:2}  loss {loss:.3f}  {KINDS[each.kind]}, {each}")


if __name__ == "__main__":
    main()
