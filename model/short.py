"""Windows that are shorter than the network's: how short, and their frames.

A network pools over the frames of a window. For short audio it gets only that audio's frames, not
a window that is filled up with silence. The default network has one frame at
0.8 s and one more every 0.2 s, so there are 22 lengths. A backend computes each length in
units of its own shape, so that no decision depends on what is computed with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from model.backend import Classifier
    from model.units import Array

SHORTEST_COLUMNS = 25  # 0.5 s: shorter audio than a syllable or a note gets no decision


def window_frames(classifier: Classifier, columns: Array) -> Array:
    """Compute the frames of windows of any one length.

    Parameters
    ----------
    classifier : Classifier
        The network.
    columns : np.ndarray [shape=(batch, t, n_bins)]
        The windows; t > 0. Where t is less than the columns of a frame, they stand in the middle of
        one frame, with silence around them.

    Returns
    -------
    np.ndarray [shape=(batch, max((t - context) // stride, 0) + 1, frame_size)]
        At least one frame of each.
    """
    missing = classifier.spec.context_columns - columns.shape[1]
    if missing > 0:
        before = missing // 2
        columns = np.pad(columns, ((0, 0), (before, missing - before), (0, 0)))
    return classifier.embed(columns)
