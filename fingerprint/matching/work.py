"""How much a search did, in units that depend on the audio and the catalogue alone.

Seconds depend on the machine and on what else it does. These counts do not: the same audio and the
same tracks give the same ones after a restart and on another machine, whatever segments hold the
tracks. A unit is a posting that is read and voted for, about 25 ns; the other weights are the CPU
time of the other parts of a search relative to that, as docs/fingerprint.md has it.
"""

from __future__ import annotations

from dataclasses import dataclass

_KEY = 1  # looked up, with what each tempo costs
_PIECE = 20_000  # of a query: its pairs, and the best of its votes
_MAP = 30_000  # of the weights of a piece under a warp
_CANDIDATE = 7_000  # verified against a piece


@dataclass(slots=True)
class Work:
    """A count that only rises.

    Parameters
    ----------
    units : int >= 0
        Work so far.
    """

    units: int = 0

    def add_piece(self) -> None:
        """Count a piece that is searched."""
        self.units += _PIECE

    def add_look_up(self, keys: int, postings: int) -> None:
        """Count keys that were looked up, and the postings of theirs that were read."""
        self.units += _KEY * keys + postings

    def add_map(self) -> None:
        """Count a `QueryMap`."""
        self.units += _MAP

    def add_verification(self) -> None:
        """Count a candidate that is verified against a piece."""
        self.units += _CANDIDATE
