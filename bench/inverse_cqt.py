"""Measure what makes the audio of `airsift explain`: ours, and librosa.griffinlim_cqt.

::

    python -m bench.inverse_cqt CORPUS [--windows 12]

From each window of the test split, the CQT of the experiments is taken, audio is made of its
magnitudes, and the CQT of that audio is compared with them: spectral convergence, 0 for equal ones
and 1 for silence. librosa also gets the magnitudes at more columns, interpolated as ours are.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from model.corpus import recordings, takes
from model.experiments.features.cqt import CQT, CQT_HOP
from model.explain import sound
from model.frontend.kernels import Q, bin_frequencies
from model.spec import BINS_PER_OCTAVE, COMPRESSION, FMIN_HZ, SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = ("speech", "music", "singing")
WINDOW = 5 * SAMPLE_RATE


def windows(corpus: Path, count: int) -> list[torch.Tensor]:
    """Draw windows of the test split, classes equally."""
    random = np.random.default_rng(1)
    listed = takes.select_split(recordings.read_index(corpus), "test")
    found = []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        long = [each for each in listed if each.kind == kind and each.end - each.start >= WINDOW]
        one = long[int(random.integers(len(long)))]
        start = int(random.integers(one.end - one.start - WINDOW + 1))
        cut = recordings.samples_of(corpus, one)[start : start + WINDOW]
        found.append(torch.from_numpy(cut.astype(np.float32) / 32768))
    return found


def librosas(hop: int, iterations: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return librosa's method at a hop."""
    import librosa

    # Its transform divides by the root of a kernel's length, and a sine of amplitude 1 has 1/2.
    scale = np.sqrt(Q * SAMPLE_RATE / bin_frequencies())[:, None] / 2

    def make(magnitudes: torch.Tensor) -> torch.Tensor:
        there = np.arange(len(magnitudes)) * CQT_HOP
        wanted = np.arange(WINDOW // hop + 1) * hop
        columns = np.stack([np.interp(wanted, there, each) for each in magnitudes.numpy().T])
        made = librosa.griffinlim_cqt(
            columns * scale, n_iter=iterations, sr=SAMPLE_RATE, hop_length=hop, fmin=FMIN_HZ,
            bins_per_octave=BINS_PER_OCTAVE, pad_mode="constant", random_state=0, length=WINDOW,
        )  # fmt: skip
        return torch.from_numpy(np.asarray(made, np.float32))

    return make


def ours(oversampled: int, iterations: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return our method at a number of columns."""
    transform = sound.ConstantQ(CQT_HOP, 216, oversampled)
    return lambda magnitudes: sound.griffin_lim(transform, magnitudes, iterations)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--windows", type=int, default=12)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    feature = CQT()

    def magnitudes(samples: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = (torch.exp2(feature(samples[None])[0, 0]) - 1) / COMPRESSION
        return found

    wanted = [magnitudes(each) for each in windows(arguments.corpus, arguments.windows)]
    n = sound.ITERATIONS
    methods = {
        f"librosa, hop {CQT_HOP}": librosas(CQT_HOP, n),
        "librosa, hop 32, interpolated": librosas(32, n),
        "ours, as many columns": ours(1, n),
        "ours, 4 times as many": ours(4, n),
        f"ours, {sound.OVERSAMPLED} times as many": ours(sound.OVERSAMPLED, n),
    }
    print(f"| {len(wanted)} windows, {n} iterations | mean | worst | CPU |")
    print("|---|---|---|---|")
    for name, method in methods.items():
        began = time.process_time()
        made = [method(each)[:WINDOW] for each in wanted]
        seconds = (time.process_time() - began) / len(wanted)
        made = [torch.nn.functional.pad(each, (0, WINDOW - len(each))) for each in made]
        scores = [sound.convergence(a, magnitudes(b)) for a, b in zip(wanted, made, strict=True)]
        print(
            f"| {name} | {np.mean(scores):.3f} | {max(scores):.3f} | {seconds:.1f} s |", flush=True
        )


if __name__ == "__main__":
    main()
