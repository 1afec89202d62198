"""What stands in for parts of a station's state."""

from __future__ import annotations

from typing import Any


def snapshot(oldest: int, **more: Any) -> dict[str, Any]:
    """Return the snapshot of a station of which nothing is open."""
    return {
        "version": 1, "rate": 16_000, "hop": 320, "oldest": oldest, "align": oldest,
        "columns": None, "clock": None, "voice": None, "smooth": None, "identify": None, **more,
    }  # fmt: skip
