"""Where keys lie among the sorted keys of a segment, without a search.

A search of each key takes a step for each doubling of the keys, each step in other memory. A bit
for every value that a key may have, and the number of keys before each 64 of them, lie in the
cache: 384 kB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fingerprint.analysis import hashes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WORD_BITS = 6  # log2 of the bits of a word
_LAST_BIT = np.uint32(2**_WORD_BITS - 1)
_LAST_WORD = np.uint32((hashes.KEYS >> _WORD_BITS) - 1)
_ONE = np.uint64(1)


class KeyRanks:
    """The ranks of sorted keys.

    Parameters
    ----------
    keys : np.ndarray of int [shape=(n,)], ascending
        n > 0 different keys in [0, `hashes.KEYS`).
    """

    def __init__(self, keys: NDArray[np.integer]) -> None:
        is_key = np.zeros(hashes.KEYS, np.bool_)
        is_key[keys] = True
        self._words = np.packbits(is_key, bitorder="little").view("<u8").astype(np.uint64)
        count = np.bitwise_count(self._words)
        self._before = (np.cumsum(count, dtype=np.int64) - count).astype(np.int32)
        self._last = np.int64(len(keys) - 1)

    def find(self, keys: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the rank of each of some keys, and whether it is there.

        Parameters
        ----------
        keys : np.ndarray [shape=(m,), uint32]
            In any order; values that are no keys are not there.

        Returns
        -------
        rank : np.ndarray [shape=(m,), int64]
            In [0, n). Of one that is not there, any.
        known : np.ndarray [shape=(m,), bool]
        """
        at = np.minimum(keys >> np.uint32(_WORD_BITS), _LAST_WORD)
        word, bit = self._words[at], (keys & _LAST_BIT).astype(np.uint64)
        here = _ONE << bit
        known = (word & here) != 0
        known &= keys < hashes.KEYS
        rank = self._before[at] + np.bitwise_count(word & (here - _ONE)).astype(np.int64)
        return np.minimum(rank, self._last), known
