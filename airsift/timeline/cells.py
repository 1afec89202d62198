"""Values over time in bounded memory, however long a file is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]


class Cells:
    """Lowest, highest and mean value of equally long cells of time.

    A cell is one unit at first. When a value comes that lies behind the last cell, pairs of cells
    are joined until it does not, so between half and all of the cells are in use.

    Parameters
    ----------
    values : int > 0
        Numbers of a unit.
    limit : int > 1, even
        Cells.

    Attributes
    ----------
    width : int
        Units of a cell, a power of 2.
    low, high : np.ndarray [shape=(limit, values)]
        Infinite in an empty cell.
    count : np.ndarray [shape=(limit,)]
        Units received of each cell.
    """

    def __init__(self, values: int, limit: int = 4096) -> None:
        self.width = 1
        self.low = np.full((limit, values), np.inf, np.float32)
        self.high = np.full((limit, values), -np.inf, np.float32)
        self.count = np.zeros(limit, np.int64)
        self._sum = np.zeros((limit, values))

    def add(self, first: int, values: Values) -> None:
        """Add consecutive units.

        Parameters
        ----------
        first : int >= 0
            Number of the first unit.
        values : np.ndarray [shape=(n, values)]
            Their values.
        """
        if not len(values):
            return
        while (first + len(values) - 1) // self.width >= len(self.count):
            self._halve()
        cells = (first + np.arange(len(values))) // self.width
        begins = np.flatnonzero(np.diff(cells, prepend=-1))
        at = cells[begins]
        self.low[at] = np.minimum(self.low[at], np.minimum.reduceat(values, begins))
        self.high[at] = np.maximum(self.high[at], np.maximum.reduceat(values, begins))
        self._sum[at] += np.add.reduceat(values, begins, dtype=np.float64)
        self.count[at] += np.diff(begins, append=len(values))

    @property
    def used(self) -> int:
        """Number of cells up to the last one that is not empty."""
        there = np.flatnonzero(self.count)
        return int(there[-1]) + 1 if len(there) else 0

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of each cell [shape=(limit, values)]; NaN in an empty one."""
        divisor = np.where(self.count > 0, self.count, np.nan)
        return np.asarray(self._sum / divisor[:, None])

    def _halve(self) -> None:
        half = len(self.count) // 2
        for cells, joined, empty in (
            (self.low, np.minimum(self.low[::2], self.low[1::2]), np.inf),
            (self.high, np.maximum(self.high[::2], self.high[1::2]), -np.inf),
            (self._sum, self._sum[::2] + self._sum[1::2], 0.0),
        ):
            cells[:half], cells[half:] = joined, empty
        self.count[:half], self.count[half:] = self.count[::2] + self.count[1::2], 0
        self.width *= 2
