"""Answers of matchers, stored as they come: an interrupted run resumes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from bench.matching.matchers import Query, QueryResult

# Queries answered between two writings of results.
_AT_ONCE = 200


def stored_answers(
    open_matcher: Callable[[], Query], queries: Sequence[NDArray[np.int16]], stored: Path
) -> list[QueryResult]:
    """Return the answers of a matcher, which is opened only if some are not stored.

    Parameters
    ----------
    open_matcher : callable
        Returns its query function.
    queries : sequence of np.ndarray [shape=(samples,), int16]
        At 16 kHz.
    stored : Path
        JSON file of answers.
    """
    stored.parent.mkdir(parents=True, exist_ok=True)
    known: list[QueryResult] = json.loads(stored.read_text()) if stored.exists() else []
    while len(known) < len(queries):
        known += open_matcher()(queries[len(known) : len(known) + _AT_ONCE])
        part = stored.with_suffix(".part")
        part.write_text(json.dumps(known))
        part.rename(stored)
    return known
