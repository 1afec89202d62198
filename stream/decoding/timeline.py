"""Where decoded frames lie in time: counted in samples, and moved by the container's stamps.

A stamp says when a frame begins. Between holes, time is the count of samples, for stamps are
rounded (to 1 ms in Matroska), jitter, and run by another clock than the samples. A jump is
believed only if the stamps do not return: a frame whose stamp is off by more than `TOLERANCE_S`
is held until `CONFIRM_S` of audio after it are there.

- Every stamp in that time lies ahead: there is a hole, as long as the least of these jumps.
- One of them fits the count again: the stamps between were wrong, and there is no hole.
- Every one lies behind (a joined or restarted recording): time never goes back, no audio is
  dropped, and from here on stamps are read as if they began anew.
- The hole would be longer than `MAX_HOLE_S`: as if the stamps began anew, and the jump is
  reported.

Counters that wrap (33 bits in MPEG streams) are compared modulo their range.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Generic, TypeVar

TOLERANCE_S = 0.005  # shorter than a frame of any codec that is used for music or speech
CONFIRM_S = 1.0
MAX_HOLE_S = 12 * 3600.0
_FOLLOW = 1 / 16  # of the distance by which the expected stamp follows stamps that drift
_MAX_HELD = 256  # frames held, whatever their length: work stays linear

Item = TypeVar("Item")


@dataclass(slots=True)
class Placed(Generic[Item]):
    """A frame in its place.

    Parameters
    ----------
    item : Item
        What was pushed.
    jump : int >= 0
        Samples, at the timeline's rate, without audio before it.
    disbelieved_s : float
        By how much stamps jump here in a way that is not believed; 0 where they do not.
    """

    item: Item
    jump: int = 0
    disbelieved_s: float = 0.0


@dataclass(slots=True)
class _Held(Generic[Item]):
    placed: Placed[Item]
    seconds: float
    lost: int  # samples known to be missing before it, which are part of the count
    ahead: float | None  # seconds its stamp is ahead of the count


class Timeline(Generic[Item]):
    """Place the frames of one stream.

    Parameters
    ----------
    rate : int > 0
        Samples per second in which jumps are counted.
    tick_s : float > 0
        Seconds between two neighbouring stamps.
    wrap_s : float, optional
        Seconds after which stamps begin again at 0.
    is_stamped : bool
        Whether frames have stamps; those before the first stamp are then held for it.

    Attributes
    ----------
    start_s : float or None
        The first frame's stamp; None until one is known.
    end_s : float
        Stamp, on the line of the latest ones, at which the audio placed so far ends.
    """

    def __init__(
        self, rate: int, tick_s: float, wrap_s: float | None = None, *, is_stamped: bool = True
    ) -> None:
        self.rate = rate
        self._waits = is_stamped  # for the first stamp
        self.start_s: float | None = None
        self._wrap_s = wrap_s
        self._tolerance_s = max(TOLERANCE_S, 2.5 * tick_s)
        self._count = 0.0  # samples and jumps pushed so far, at `rate`
        self._zero_s = 0.0  # stamp of count 0
        self._drift_s = 0.0  # by which stamps are slowly moving away from the count
        self._held: deque[_Held[Item]] = deque()
        self._held_s = 0.0

    @property
    def end_s(self) -> float:
        """Stamp at which the audio pushed so far ends."""
        return self._zero_s + self._count / self.rate

    def push(
        self, item: Item, seconds: float, stamp_s: float | None, lost_s: float = 0.0
    ) -> list[Placed[Item]]:
        """Take the next frame; return those whose place is now known.

        Parameters
        ----------
        item : Item
            The frame, which is handed back.
        seconds : float
            Its length.
        stamp_s : float, optional
            When it begins, as its container says.
        lost_s : float
            Length of what is damaged before it, as far as it is known.
        """
        lost = round(lost_s * self.rate)
        if self.start_s is None and stamp_s is not None:
            self.start_s = stamp_s - lost_s - self._count / self.rate
            self._zero_s = self.start_s
        self._count += lost
        ahead = None if stamp_s is None else self._ahead(stamp_s)
        self._count += seconds * self.rate
        self._held.append(_Held(Placed(item, lost), seconds, lost, ahead))
        self._held_s += seconds
        self._waits &= self.start_s is None and len(self._held) < _MAX_HELD
        if self._waits:
            return []
        return self._settle(last=False)

    def flush(self) -> list[Placed[Item]]:
        """Return what is held: nothing comes after it."""
        return self._settle(last=True)

    def _ahead(self, stamp_s: float) -> float:
        ahead = stamp_s - self.end_s
        if self._wrap_s:
            ahead = (ahead + self._wrap_s / 2) % self._wrap_s - self._wrap_s / 2
        return ahead

    def _settle(self, *, last: bool) -> list[Placed[Item]]:
        out = self._release()
        while self._held and (last or self._is_confirmed() or self._returns()):
            self._decide()
            out += self._release()
        return out

    def _release(self) -> list[Placed[Item]]:
        """Return the frames at the front whose stamps fit the count."""
        out = []
        while self._held and self._fits(self._held[0]):
            first = self._held.popleft()
            self._held_s -= first.seconds
            if first.ahead is not None:
                self._drift_s += (first.ahead - self._drift_s) * _FOLLOW
            out.append(first.placed)
        return out

    def _fits(self, held: _Held[Item]) -> bool:
        return held.ahead is None or abs(held.ahead - self._drift_s) <= self._tolerance_s

    def _is_confirmed(self) -> bool:
        return self._held_s >= CONFIRM_S or len(self._held) >= _MAX_HELD

    def _returns(self) -> bool:
        """Return whether the newest stamp fits the count, or is on its other side."""
        first, newest = self._held[0].ahead, self._held[-1].ahead
        if first is None or newest is None:
            return False
        return self._fits(self._held[-1]) or (first > self._drift_s) != (newest > self._drift_s)

    def _decide(self) -> None:
        """Say what the stamp of the first frame that is held means."""
        first = self._held[0]
        assert first.ahead is not None
        sign = 1 if first.ahead > self._drift_s else -1
        offs = [held.ahead for held in self._held if held.ahead is not None]
        least = min(sign * (off - self._drift_s) for off in offs)
        if least <= self._tolerance_s:  # the stamps return: this one is wrong
            first.ahead = None
            return
        # What lies on the line of the least jump, of which the middle is the truest.
        jump_s = median(
            off for off in offs if sign * (off - self._drift_s) <= least + self._tolerance_s
        )
        if jump_s > MAX_HOLE_S:
            first.placed.disbelieved_s = jump_s
            self._begin_anew(jump_s)
            return
        jump = max(round(jump_s * self.rate), -first.lost)  # damage may be shorter than it seemed
        if sign < 0:  # behind the line of drift, though it may still be ahead of the count
            jump = min(jump, 0)
        first.placed.jump += jump
        first.lost += jump
        self._count += jump
        self._move(jump / self.rate)
        if sign < 0 or jump_s < 0:
            self._begin_anew(jump_s - jump / self.rate)
        else:
            self._drift_s = 0.0

    def _begin_anew(self, jump_s: float) -> None:
        """Read stamps as if they had not jumped."""
        self._zero_s += jump_s - self._drift_s
        self._move(jump_s - self._drift_s)

    def _move(self, by_s: float) -> None:
        for held in self._held:
            if held.ahead is not None:
                held.ahead -= by_s
