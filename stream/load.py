"""What is left out while the machine is too slow, and in which order.

::

    behind    level   left out
    < limit     0     nothing
    >= 1 x      1     the search for changed speed and pitch
    >= 2 x      2     and fingerprints: no music is named
    >= 3 x      3     and every second checkpoint: after a crash, more comes again

Every level also leaves out what the levels before it do. No audio is lost and all of it is decided,
at every level.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

MAX_LEVEL = 3
# Below this share of the limit, a level is left after `CALM_S`.
CALM = 0.25
CALM_S = 10.0
FEWER_CHECKPOINTS = 2  # transactions last for three checkpoints, see `airsift.config`
NAMES = (
    "nothing is left out",
    "changed speed and pitch are not searched for",
    "and music is not identified",
    "and checkpoints are twice as far apart",
)


class Load:
    """How far the loop is behind the newest audio, as a level from 0 to `MAX_LEVEL`.

    The level rises at once, and falls by one after `CALM_S` near the newest audio: so it does not
    swing, and ends at 0. Being further behind never gives a lower level.

    Parameters
    ----------
    limit_s : float >= 0
        Seconds behind at which level 1 begins; 0: the level is always 0.
    now : callable
        The clock, in seconds.

    Attributes
    ----------
    level : int
        The present level.
    behind_s : float
        Seconds behind, as last reported.
    skipped : dict of str to float
        What was left out: ``warp_searches``, and ``identify_s`` of audio.
    """

    def __init__(self, limit_s: float = 0.0, now: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = limit_s
        self._now = now
        self._calm_since: float | None = None
        self.level = 0
        self.behind_s = 0.0
        self.skipped: dict[str, float] = {"warp_searches": 0, "identify_s": 0}

    def update(self, behind_s: float) -> None:
        """Report how far behind the loop is, in seconds."""
        self.behind_s = behind_s
        if not self._limit_s:
            return
        before, now = self.level, self._now()
        self.level = max(before, min(int(behind_s / self._limit_s), MAX_LEVEL))
        if behind_s >= CALM * self._limit_s or not self.level:
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = now
        elif now - self._calm_since >= CALM_S:
            self._calm_since = now
            self.level -= 1
        if self.level > before:
            log.warning("%.0f s behind the newest audio: %s", behind_s, self._left_out)
        elif self.level < before:
            log.warning("catches up, %.0f s behind: %s", behind_s, self._left_out)

    @property
    def skips_warp_search(self) -> bool:
        """Whether the search for changed speed and pitch is left out."""
        return self.level >= 1

    @property
    def skips_identify(self) -> bool:
        """Whether identification is left out."""
        return self.level >= 2

    @property
    def checkpoint_factor(self) -> int:
        """How many times as far apart checkpoints are."""
        return FEWER_CHECKPOINTS if self.level >= 3 else 1

    @property
    def _left_out(self) -> str:
        return ", ".join(NAMES[1 : self.level + 1]) or NAMES[0]
