"""The events of the demo's programmes that are stored in tests/golden/."""

from __future__ import annotations

from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden"

TOLERANCE = 0.02  # of scores: the last bits of a probability differ between processors

COMPARED = ("schema", "start_s", "end_s", "label", "track", "track_start_s", "score")
