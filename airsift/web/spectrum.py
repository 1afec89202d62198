"""The constant-Q transform of a station that somebody looks at, as the pipeline computes it.

Nothing is computed twice, and nothing is done for a station that nobody looks at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from stream.stages.features import Columns
from stream.telemetry.observer import Observer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stream.session import Item

MERGED = 2  # columns that are shown as one
COLUMNS_PER_S = 50 // MERGED  # columns are 20 ms apart
_WHITE = 12.0  # compressed magnitude, log2(1 + 10000 s), that is shown brightest
_PARTS = 60  # of a second each, that wait for a reader

Part: TypeAlias = tuple[int, bytes]  # number of bins, and columns of as many bytes


class Spectra(Observer):
    """Hands columns from the loop's thread to readers.

    Attributes
    ----------
    is_fed : bool
        Whether a pipeline is there at all.
    """

    def __init__(self) -> None:
        # Replaced as a whole, so that the loop may look at any time.
        self._readers: dict[str, list[deque[Part]]] = {}
        self.is_fed = False

    def on_items(self, items: Sequence[Item]) -> None:
        self.is_fed = True
        readers = self._readers
        for item in items if readers else ():
            if isinstance(item, Columns) and (waiting := readers.get(item.station)):
                part = item.values.shape[1], as_bytes(item.values)
                for each in waiting:
                    each.append(part)

    @contextmanager
    def watching(self, station: str) -> Iterator[deque[Part]]:
        """Give what comes of a station while the block runs; for one thread."""
        mine: deque[Part] = deque(maxlen=_PARTS)
        self._set(station, [*self._readers.get(station, []), mine])
        try:
            yield mine
        finally:
            self._set(station, [each for each in self._readers[station] if each is not mine])

    def _set(self, station: str, readers: list[deque[Part]]) -> None:
        others = {name: those for name, those in self._readers.items() if name != station}
        self._readers = others | ({station: readers} if readers else {})


def as_bytes(values: NDArray[np.float32]) -> bytes:
    """Return columns as bytes of brightness, `MERGED` of them as one.

    Parameters
    ----------
    values : np.ndarray [shape=(n, bins)]
        Compressed magnitudes.
    """
    n, bins = values.shape[0] // MERGED, values.shape[1]
    merged = values[: n * MERGED].reshape(n, MERGED, bins).max(axis=1)
    return bytes(np.clip(merged * (255 / _WHITE), 0, 255).astype(np.uint8))
