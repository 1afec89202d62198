"""How a station's samples are counted over the ends of its stream.

A producer that starts again may count from 0. The station's own count never goes back, because
the ids of its events are made of it: what is counted anew goes on behind what was, by whole
seconds, which are whole samples at any rate::

    producer   0 ├───────┤ end    0 ├──────┤            (shift 0, then 3 s)
    station    0 ├───────┤  3 s ─── ├──────┤
"""

from __future__ import annotations

from typing import Literal, NamedTuple

# A message that comes after the end and lies so close before it was late, or comes twice.
_LATE_S = 10
# Producers that resample or pad may be wrong by so much about where they end.
_SLACK_S = 0.1


class Count(NamedTuple):
    """One station's count, in samples at the pipeline's rate.

    Parameters
    ----------
    first, end : int
        What came since the station last began, half-open.
    shift : int
        What is added to the samples that its producer counts.
    over : {"", "sent", "idle"}
        How its stream came to its end; "" while it goes on.
    """

    first: int = 0
    end: int = 0
    shift: int = 0
    over: Literal["", "sent", "idle"] = ""

    @classmethod
    def begin(cls, start: int, end: int) -> Count:
        """Return the count of a station that is new."""
        return cls(start, end)

    def follow(self, start: int, end: int, rate: int) -> Count:
        """Return the count after audio that the producer counts from `start` to `end`."""
        start, end = start + self.shift, end + self.shift
        if not self.over:
            return self._replace(end=max(self.end, end))
        late = _LATE_S * rate
        if self.first + late <= start < self.end and start >= self.end - late:
            return self
        seconds = (self.end - start) // rate + 1 if start < self.end else 0
        more = seconds * rate
        return Count(start + more, end + more, self.shift + more)

    def is_before(self, sample: int, rate: int) -> bool:
        """Say whether what the producer counts as `sample` lies before the audio's end."""
        return sample + self.shift < self.end - _SLACK_S * rate
