"""Rooms for columns: what was heard fades over the columns after it.

Rooms made of samples (`model.corpus.augment`) are better but fixed when the bank is built; these
are drawn anew for each layer of each window, so that every voice is heard in many places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from model.training.mixture import COLUMN_SECONDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHANCE = 0.3


def reverberated(
    power: NDArray[np.float32], random: np.random.Generator, chance: float = CHANCE
) -> NDArray[np.float32]:
    """Put some windows into rooms.

    Parameters
    ----------
    power : np.ndarray [shape=(n, t, bins), float32]
        Squared magnitudes.
    random : np.random.Generator
        Draws the windows and, for each, a decay by 60 dB in 0.2 to 1.5 s (treble down to a
        third of that) and a ratio of direct to reverberant sound of -12 to 12 dB.
    chance : float in [0, 1]
        Share of the windows to change.

    Returns
    -------
    np.ndarray [shape=(n, t, bins), float32]
        The same power on average. What sounded before a window sounds on into it.
    """
    rows = np.flatnonzero(random.random(len(power)) < chance)
    if not len(rows):
        return power
    n, columns, bins = len(rows), power.shape[1], power.shape[2]
    seconds = np.exp(random.uniform(np.log(0.2), np.log(1.5), (n, 1)))
    treble = random.uniform(0.33, 1.0, (n, 1)) ** np.linspace(0.0, 1.0, bins)
    keep = (10.0 ** (-6.0 * COLUMN_SECONDS / (seconds * treble))).astype(np.float32)
    dry = power[rows]
    # Echoes add with random phases: the tail fluctuates, alike in neighbouring columns.
    rough = random.standard_exponential((n, columns + 1, bins), dtype=np.float32)
    rough = 0.5 * (rough[:, 1:] + rough[:, :-1])
    tail = np.empty_like(dry)
    state = dry[:, :25].mean(axis=1)
    for column in range(columns):
        state = keep * state + (1.0 - keep) * dry[:, column]
        tail[:, column] = state
    direct = 10.0 ** (random.uniform(-12.0, 12.0, (n, 1, 1)) / 10.0)
    changed = power.copy()
    changed[rows] = ((direct * dry + tail * rough) / (1.0 + direct)).astype(np.float32)
    return changed
