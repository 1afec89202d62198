"""Features of the windows of an experiment, computed once and kept on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from airsift.errors import ConfigError
from airsift.files import replacing, write_whole
from model.corpus import cache
from model.corpus.sources import SPLITS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from model.corpus.sources import Split
    from model.experiments.features.base import Feature
    from model.experiments.windows import Windows

BATCH = 32  # windows
LIBRARIES = ("numpy", "torch", "torchaudio", "nnAudio")


@dataclass(frozen=True, slots=True)
class FeatureArrays:
    """Features of an experiment's windows, for each split [shape=(n, channels, frames, bins)].

    Parameters
    ----------
    key : str
        Hash of the windows and of what computed the features.
    inputs : mapping of Split to np.ndarray [float16]
        Memory maps: the training windows of the longest feature are 5 GB.
    mean, deviation : np.ndarray [shape=(channels, 1, bins), float32]
        Over the frames of the training windows.
    """

    key: str
    inputs: Mapping[Split, NDArray[np.float16]]
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]


def stored(
    feature: Feature,
    windows: Mapping[Split, Windows],
    folder: Path,
    progress: Callable[[int, int], None],
) -> FeatureArrays:
    """Compute the features of windows, unless they are there.

    Parameters
    ----------
    feature : Feature
        Of the windows' length.
    windows : mapping of Split to Windows
        The windows.
    folder : Path
        Its files are ``FEATURE-KEY-SPLIT.npy`` and ``FEATURE-KEY.json``, which is written last.
    progress : callable
        Receives how many windows are computed, and of how many.

    Raises
    ------
    ConfigError
        A file cannot be written, or is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keys = [windows[split].key for split in SPLITS]
    code, libraries = cache.code_version(*feature.code), cache.libraries(*LIBRARIES)
    key = cache.key_of(feature.name, keys, code, libraries)
    index = folder / f"{feature.name}-{key[:16]}.json"
    arrays = {split: folder / f"{feature.name}-{key[:16]}-{split}.npy" for split in SPLITS}
    if not index.exists():
        total, done = sum(map(len, windows.values())), 0
        sums = Moments()
        for split in SPLITS:
            rows, file = windows[split], arrays[split]
            with replacing(file) as partial, partial.open("wb") as out:
                header = {
                    "descr": "<f2", "fortran_order": False, "shape": (len(rows), *feature.shape),
                }  # fmt: skip
                np.lib.format.write_array_header_1_0(out, header)
                for first in range(0, len(rows), BATCH):
                    samples = torch.from_numpy(rows.samples(first, first + BATCH))
                    values = feature(samples).numpy().astype(np.float16)
                    out.write(values.tobytes())
                    if split == "train":
                        sums.add(values)
                    done += len(values)
                    progress(done, total)
        write_whole(index, json.dumps(sums.written()).encode())
    try:
        read = json.loads(index.read_bytes())
        inputs = {split: np.load(file, mmap_mode="r") for split, file in arrays.items()}
        mean, deviation = (np.array(read[name], np.float32) for name in ("mean", "deviation"))
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise ConfigError(
            f"{index} or an array beside it is damaged ({error}): remove it and start again; "
            "what is trained is kept"
        ) from error
    return FeatureArrays(key, inputs, mean, deviation)


class Moments:
    """Mean and standard deviation of each channel and bin, over windows and frames."""

    def __init__(self) -> None:
        self._count = 0
        self._sum: NDArray[np.float64] = np.zeros(())
        self._squares: NDArray[np.float64] = np.zeros(())

    def add(self, values: NDArray[np.float16]) -> None:
        """Add windows [shape=(n, channels, frames, bins)]."""
        exact = values.astype(np.float64)
        self._count += values.shape[0] * values.shape[2]
        self._sum = self._sum + exact.sum((0, 2))
        self._squares = self._squares + np.square(exact).sum((0, 2))

    def written(self) -> dict[str, list[object]]:
        """Return both as lists [shape=(channels, 1, bins)]."""
        mean = self._sum / self._count
        deviation = np.sqrt(np.maximum(self._squares / self._count - mean**2, 0.0))
        return {"mean": mean[:, None].tolist(), "deviation": deviation[:, None].tolist()}
