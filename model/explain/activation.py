"""Windows of a corpus that excite the maps of a layer most."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from airsift.errors import ConfigError
from model.corpus import recordings
from model.spec import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.explain.subject import Subject

_BATCH = 16  # windows


@dataclass(frozen=True, slots=True, order=True)
class Activation:
    """A window and how strongly it activates a map.

    Parameters
    ----------
    strength : float
        The greatest value of the map.
    source, path, kind : str
        The recording and its class, as the corpus names them.
    start : int >= 0
        First sample of the window in the recording.
    samples : np.ndarray [shape=(n,), float32]
        Its audio.
    """

    strength: float
    source: str
    path: str
    kind: str
    start: int
    samples: NDArray[np.float32]

    @property
    def title(self) -> str:
        """Where it is from, in a line."""
        return f"{self.kind}: {self.source}, {self.path}, from {self.start / SAMPLE_RATE:.1f} s"


def maximally_activating(
    subject: Subject,
    corpus: Path,
    layer: str,
    maps: Sequence[int],
    *,
    windows: int,
    each: int,
    report: Callable[[int, int], None],
    seed: int = 1,
) -> dict[int, list[Activation]]:
    """Find the windows that excite maps most.

    Parameters
    ----------
    subject : Subject
        The network.
    corpus : Path
        Folder of `model.corpus.recordings`.
    layer : str
        Its layer.
    maps : sequence of int
        The maps.
    windows : int > 0
        Windows to try, drawn at random from all recordings; each recording is drawn equally.
    each : int > 0
        Windows to return for a map, of different recordings, strongest first.
    report : callable
        Receives how many windows were tried, and of how many.
    seed : int
        Of the draw.

    Raises
    ------
    ConfigError
        The folder holds no corpus, or no recording is long enough.
    """
    listed = [
        one for one in recordings.read_index(corpus) if one.end - one.start >= subject.samples
    ]
    if not listed:
        raise ConfigError(
            f"{corpus} has no recording of {subject.seconds:g} s or more: name another --corpus"
        )
    random = np.random.default_rng(seed)
    drawn = [listed[place] for place in random.integers(len(listed), size=windows)]
    best: dict[int, list[tuple[float, int, Activation]]] = {number: [] for number in maps}
    for first in range(0, windows, _BATCH):
        some = drawn[first : first + _BATCH]
        starts = [int(random.integers(one.end - one.start - subject.samples + 1)) for one in some]
        audio = np.stack([
            recordings.samples_of(corpus, one)[start : start + subject.samples]
            for one, start in zip(some, starts, strict=True)
        ]).astype(np.float32) / np.float32(32768)  # fmt: skip
        with torch.inference_mode():
            trace = subject.chain.trace(subject.features(torch.from_numpy(audio)), until=layer)
        peaks = (
            trace.maps[layer].flatten(2).amax(2)
            if trace.maps[layer].dim() > 2
            else (trace.maps[layer])
        )
        for row, (one, start, samples) in enumerate(zip(some, starts, audio, strict=True)):
            for number in maps:
                strength = float(peaks[row, number])
                found = Activation(strength, one.source, one.path, one.kind, start, samples)
                _keep(best[number], (strength, first + row, found), each)
        report(min(first + _BATCH, windows), windows)
    return {
        number: [found for _, _, found in sorted(kept, reverse=True)]
        for number, kept in best.items()
    }


def _keep(
    kept: list[tuple[float, int, Activation]], new: tuple[float, int, Activation], limit: int
) -> None:
    """Add a window to the best ones: one of each recording, `limit` at most."""
    place = (new[2].source, new[2].path)
    same = next((one for one in kept if (one[2].source, one[2].path) == place), None)
    if same is not None:
        if same[:2] < new[:2]:
            kept.remove(same)
            kept.append(new)
            heapq.heapify(kept)
    elif len(kept) < limit:
        heapq.heappush(kept, new)
    elif kept[0][:2] < new[:2]:
        heapq.heapreplace(kept, new)
