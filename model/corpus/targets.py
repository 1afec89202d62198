"""Targets of takes: what is known about a take, and where it is not known, what the teacher finds.

The class of a take is known, but not always that it is the only one: game voices with music, a
singer who talks, a hall that a package lists as noise. The teacher's probability of the *other*
output counts in part, where the list of the source is coarse. Where the list names the kind of
sound ('baby cry'), it is believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from model.corpus import teacher
from model.corpus.scenes import MUSIC, OUTPUTS, SPEECH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from model.corpus.sources import Kind

    Targets = NDArray[np.float16]

# Weight of the teacher's probability, above `UNSURE`, of an output that the class does not have.
TRUST: dict[Kind, float] = {"speech": 0.5, "music": 0.5, "singing": 0.25, "noise": 0.5}
# Categories that say no more than a class: their packages list other sounds as well.
COARSE = frozenset({"", "speech", "music", "singing", "noise", "game voices", "game music",
                    "game effects", "music loops"})  # fmt: skip
# Below this the teacher is silent: it gives most sounds a little of everything.
UNSURE = 0.1


def targets_of(
    kind: Kind,
    active: NDArray[np.bool_],
    tags: NDArray[np.uint8] | None = None,
    names: Sequence[str] = (),
    category: str = "",
) -> Targets:
    """Return the targets of a take of one class.

    Parameters
    ----------
    kind : Kind
        Its class.
    active : np.ndarray [shape=(t,), bool]
        For each column, whether its class is active.
    tags : np.ndarray [shape=(rows, classes), uint8], optional
        The teacher's probabilities.
    names : sequence of str
        Names of the teacher's classes.
    category : str
        Its category.

    Returns
    -------
    np.ndarray [shape=(t, 2), float16]
        Probabilities of speech and music.
    """
    targets = np.zeros((len(active), 2), np.float32)
    if tags is not None and category in COARSE:
        for output, wanted in ((SPEECH, teacher.SPEECH), (MUSIC, teacher.MUSIC)):
            rows = teacher.probability(tags, names, wanted)
            found = at_columns(rows, len(active))
            targets[:, output] = TRUST.get(kind, 0.0) * np.maximum(found - UNSURE, 0.0)
    if kind in OUTPUTS:
        targets[:, OUTPUTS[kind]] = active
    return targets.astype(np.float16)


def at_columns(rows: NDArray[np.float32], columns: int) -> NDArray[np.float32]:
    """Interpolate values every half second at each column."""
    places = (np.arange(columns) + 0.5) / teacher.ROW_COLUMNS - 0.5
    values: NDArray[np.float32] = np.interp(places, np.arange(len(rows)), rows).astype(np.float32)
    return values
