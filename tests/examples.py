"""How many examples a law gets: its own number, and a quarter of it in `make quick`."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

DEFAULT = 100  # of Hypothesis, and of a law that states no number


def examples(count: int, **options: Any) -> settings:
    """Return the settings of a law with `count` examples, of which a profile may take a share."""
    share = settings().max_examples / DEFAULT
    return settings(max_examples=max(round(count * share), 3), **options)
