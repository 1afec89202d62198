"""Alarms to one target: a bounded queue and a thread, so that a target that hangs delays nothing.

Messages are sent in order, each until it is delivered, refused, or too old. The queue gives up its
oldest message when it is full: the newest state is what counts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream.events import Alarm

log = logging.getLogger(__name__)

OUTCOMES = ("delivered", "refused", "given_up", "dropped")
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 30.0


class DeliveryError(Exception):
    """A message did not arrive.

    Parameters
    ----------
    reason : str
        Why, in one line.
    is_final : bool
        Whether the target refuses the message, so that it is of no use to send it again.
    """

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


class Target(Protocol):
    """A target of notifications.

    Attributes
    ----------
    kind : str
        As the table of the configuration.
    name : str
        Of the target, for people: without passwords.
    min_severity : {"warning", "critical"}
        The lowest severity that it is notified of.
    """

    kind: str
    name: str
    min_severity: str

    def send(self, alarm: Alarm) -> None:
        """Tell it of an alarm that opened, escalated or closed.

        Raises
        ------
        DeliveryError
            It did not arrive.
        """
        ...

    def refresh(self, alarms: Sequence[Alarm]) -> None:
        """Tell it which alarms are open; for targets that forget what they hear once.

        Raises
        ------
        DeliveryError
            It did not arrive.
        """
        return


class Courier:
    """Brings alarms to a target, in a thread of its own.

    Parameters
    ----------
    target : Target
        The target.
    max_queue : int > 0
        Messages that may wait.
    give_up_s : float > 0
        Age of a message at which it is given up.
    now : callable
        The clock, in seconds.

    Attributes
    ----------
    counts : Counter
        Messages by what became of them, see `OUTCOMES`.
    """

    def __init__(
        self,
        target: Target,
        max_queue: int,
        give_up_s: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.target = target
        self.counts: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        self._max_queue, self._give_up_s, self._now = max_queue, give_up_s, now
        self._changed = threading.Condition()  # guards all below
        self._queue: deque[tuple[float, Alarm]] = deque()
        self._refresh: Sequence[Alarm] | None = None
        self._notified: set[str] = set()  # ids of open alarms that it was notified of
        self._is_busy = False
        self._ends = False
        self._problem = ""
        self._thread = threading.Thread(
            target=self._work, name=f"alarms {target.name}", daemon=True
        )
        self._thread.start()

    @property
    def queued(self) -> int:
        """Messages that wait, or are being sent."""
        return len(self._queue) + self._is_busy

    def put(self, alarm: Alarm) -> None:
        """Accept an alarm, if it is severe enough; return at once."""
        with self._changed:
            # A target that was notified of the opening is notified of the end.
            if alarm.id not in self._notified and not _is_enough(alarm, self.target):
                return
            if alarm.final:
                self._notified.discard(alarm.id)
            else:
                self._notified.add(alarm.id)
            if len(self._queue) >= self._max_queue:
                self._queue.popleft()
                self.counts["dropped"] += 1
            self._queue.append((self._now(), alarm))
            if self._refresh is not None:  # it is older
                self._refresh = [each for each in self._refresh if each.id != alarm.id]
            self._changed.notify_all()

    def refresh(self, alarms: Sequence[Alarm]) -> None:
        """Accept the list of the alarms that are open; return at once."""
        with self._changed:
            open_ones = [a for a in alarms if a.id in self._notified or _is_enough(a, self.target)]
            self._notified |= {alarm.id for alarm in open_ones}
            self._refresh = open_ones
            self._changed.notify_all()

    def close(self, wait_s: float) -> None:
        """End the thread; wait at most so long for what is still in the queue."""
        with self._changed:
            self._changed.wait_for(lambda: not self._queue and not self._is_busy, wait_s)
            self._ends = True
            self._changed.notify_all()
            if self.queued:
                log.warning("%s: %d alarms were not delivered", self.target.name, self.queued)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()
                self._changed.wait_for(
                    lambda: self._queue or self._refresh is not None or self._ends
                )
                if self._ends:
                    return
                item = self._queue.popleft() if self._queue else None
                alarms, self._refresh = (
                    (self._refresh, None) if item is None else (None, self._refresh)
                )
                self._is_busy = item is not None
            if item is not None:
                outcome = self._deliver(*item)
                with self._changed:
                    self.counts[outcome] += 1
            elif alarms is not None:
                self._send_refresh(alarms)

    def _deliver(self, since: float, alarm: Alarm) -> str:
        """Send one message until something has become of it."""
        wait_s = FIRST_RETRY_S
        while True:
            try:
                self.target.send(alarm)
            except DeliveryError as error:
                self._report(str(error))
                if error.is_final:
                    return "refused"
            except Exception:  # of this target alone
                log.exception("%s: an alarm was not delivered", self.target.name)
                return "refused"
            else:
                self._report("")
                return "delivered"
            if self._now() + wait_s - since >= self._give_up_s:
                return "given_up"
            with self._changed:
                if self._changed.wait_for(lambda: self._ends, wait_s):
                    return "given_up"
            wait_s = min(2 * wait_s, LAST_RETRY_S)

    def _send_refresh(self, alarms: Sequence[Alarm]) -> None:
        try:
            self.target.refresh(alarms)
        except DeliveryError as error:  # the next one comes
            self._report(str(error))
        except Exception:
            log.exception("%s: the open alarms were not delivered", self.target.name)

    def _report(self, problem: str) -> None:
        """Log a problem, once as long as it stays the same."""
        if problem and problem != self._problem:
            log.warning("%s: %s", self.target.name, problem)
        elif self._problem and not problem:
            log.info("%s: alarms are delivered again", self.target.name)
        self._problem = problem


def _is_enough(alarm: Alarm, target: Target) -> bool:
    return alarm.severity == "critical" or target.min_severity == "warning"
