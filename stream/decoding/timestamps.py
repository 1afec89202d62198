"""The position of decoded frames: a count of samples, corrected by the container's timestamps.

A timestamp gives the begin of a frame. Between holes, the count of samples is used, because
timestamps are rounded (to 1 ms in Matroska), jitter, and run by another clock than the samples. A
jump is accepted only if the timestamps do not return: a frame whose timestamp is off by more than
`TOLERANCE_S` is queued until `CONFIRM_S` of audio after it are decoded.

- If every timestamp in that time is ahead, there is a hole as long as the smallest jump.
- If one of them fits the count again, the timestamps between were wrong, and there is no hole.
- If every one is behind (a joined or restarted recording), no audio is dropped, time does not go
  back, and later timestamps are read as if they began anew.
- If the hole would be longer than `MAX_HOLE_S`, timestamps are read as if they began anew, and the
  jump is reported.

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
_MAX_QUEUED = 256  # frames, of any length: work stays linear

Item = TypeVar("Item")


@dataclass(slots=True)
class Placed(Generic[Item]):
    """A frame with its position.

    Parameters
    ----------
    item : Item
        The frame.
    jump : int >= 0
        Samples without audio before it, at the tracker's rate.
    disbelieved_s : float
        Length of a jump of the timestamps that is not accepted; 0 without one.
    """

    item: Item
    jump: int = 0
    disbelieved_s: float = 0.0


@dataclass(slots=True)
class _Queued(Generic[Item]):
    placed: Placed[Item]
    seconds: float
    lost: int  # samples known to be missing before it, which are part of the count
    ahead: float | None  # seconds its stamp is ahead of the count


class TimestampTracker(Generic[Item]):
    """Positions the frames of one stream; those before its first timestamp are queued.

    Parameters
    ----------
    rate : int > 0
        Samples per second in which jumps are counted.
    tick_s : float > 0
        Seconds between two neighbouring stamps.
    wrap_s : float, optional
        Seconds after which stamps begin again at 0.

    Attributes
    ----------
    start_s : float or None
        The first frame's stamp; None until one is known.
    end_s : float
        Stamp, on the line of the latest ones, at which the audio placed so far ends.
    """

    def __init__(self, rate: int, tick_s: float, wrap_s: float | None = None) -> None:
        self.rate = rate
        self._waits = True  # for the first stamp
        self.start_s: float | None = None
        self._wrap_s = wrap_s
        self._tolerance_s = max(TOLERANCE_S, 2.5 * tick_s)
        self._count = 0.0  # samples and jumps pushed so far, at `rate`
        self._zero_s = 0.0  # stamp of count 0
        self._drift_s = 0.0  # by which stamps are slowly moving away from the count
        self._queue: deque[_Queued[Item]] = deque()
        self._queued_s = 0.0

    @property
    def end_s(self) -> float:
        """Timestamp at which the audio pushed so far ends."""
        return self._zero_s + self._count / self.rate

    def push(
        self, item: Item, seconds: float, stamp_s: float | None, lost_s: float = 0.0
    ) -> list[Placed[Item]]:
        """Add the next frame; return those whose position is now known.

        Parameters
        ----------
        item : Item
            The frame.
        seconds : float
            Its length.
        stamp_s : float, optional
            Its timestamp.
        lost_s : float
            Known length of damaged audio before it.
        """
        lost = round(lost_s * self.rate)
        if self.start_s is None and stamp_s is not None:
            self.start_s = stamp_s - lost_s - self._count / self.rate
            self._zero_s = self.start_s
        self._count += lost
        ahead = None if stamp_s is None else self._ahead(stamp_s)
        self._count += seconds * self.rate
        if not self._queue and not self._waits and self._fits(ahead):  # nearly every frame
            self._follow(ahead)
            return [Placed(item, lost)]
        self._queue.append(_Queued(Placed(item, lost), seconds, lost, ahead))
        self._queued_s += seconds
        self._waits &= self.start_s is None and len(self._queue) < _MAX_QUEUED
        if self._waits:
            return []
        return self._settle(last=False)

    def flush(self) -> list[Placed[Item]]:
        """Return the queued frames at the end of the stream."""
        return self._settle(last=True)

    def _ahead(self, stamp_s: float) -> float:
        ahead = stamp_s - self.end_s
        if self._wrap_s:
            ahead = (ahead + self._wrap_s / 2) % self._wrap_s - self._wrap_s / 2
        return ahead

    def _settle(self, *, last: bool) -> list[Placed[Item]]:
        out = self._release()
        while self._queue and (last or self._is_confirmed() or self._returns()):
            self._decide()
            out += self._release()
        return out

    def _release(self) -> list[Placed[Item]]:
        """Return the frames at the front whose timestamps fit the count."""
        out = []
        while self._queue and self._fits(self._queue[0].ahead):
            first = self._queue.popleft()
            self._queued_s -= first.seconds
            self._follow(first.ahead)
            out.append(first.placed)
        return out

    def _fits(self, ahead: float | None) -> bool:
        return ahead is None or abs(ahead - self._drift_s) <= self._tolerance_s

    def _follow(self, ahead: float | None) -> None:
        """Follow the drift of a stamp that fits."""
        if ahead is not None:
            self._drift_s += (ahead - self._drift_s) * _FOLLOW

    def _is_confirmed(self) -> bool:
        return self._queued_s >= CONFIRM_S or len(self._queue) >= _MAX_QUEUED

    def _returns(self) -> bool:
        """Return whether the newest timestamp fits the count, or is on its other side."""
        first, newest = self._queue[0].ahead, self._queue[-1].ahead
        if first is None or newest is None:
            return False
        return self._fits(newest) or (first > self._drift_s) != (newest > self._drift_s)

    def _decide(self) -> None:
        """Decide on the timestamp of the first queued frame."""
        first = self._queue[0]
        assert first.ahead is not None
        sign = 1 if first.ahead > self._drift_s else -1
        offs = [queued.ahead for queued in self._queue if queued.ahead is not None]
        smallest = min(sign * (off - self._drift_s) for off in offs)
        if smallest <= self._tolerance_s:  # the timestamps return: this one is wrong
            first.ahead = None
            return
        # The median of the jumps near the smallest one.
        jump_s = median(
            off for off in offs if sign * (off - self._drift_s) <= smallest + self._tolerance_s
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
        """Read timestamps as if they had not jumped."""
        self._zero_s += jump_s - self._drift_s
        self._move(jump_s - self._drift_s)

    def _move(self, by_s: float) -> None:
        for queued in self._queue:
            if queued.ahead is not None:
                queued.ahead -= by_s
