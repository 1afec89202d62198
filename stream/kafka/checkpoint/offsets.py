"""Which messages of the audio topic are still needed, and so how far a group may commit."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream.kafka.codec.message import Begin


class Heard(NamedTuple):
    """One decoded message.

    Parameters
    ----------
    kafka_offset : int
        Where it is in its partition.
    start, end : int
        Its samples, half-open, at `rate`.
    rate : int > 0
        Samples per second.
    begin : Begin
        The message that a restart begins with to decode this one: itself, or one before it that
        gives its decoder a running start.
    """

    kafka_offset: int
    start: int
    end: int
    rate: int
    begin: Begin


class _Station:
    """The messages of one station that are needed, and the last stretch of audio without a hole."""

    __slots__ = ("end", "messages", "rate", "start")

    def __init__(self) -> None:
        self.messages: deque[Heard] = deque()
        self.start = self.end = self.rate = 0

    def add(self, message: Heard) -> None:
        """Note a message, unless it only repeats audio that came before it.

        Whoever begins with the message that brought that audio does without the repetition, so a
        producer that sends the same for ever takes no memory.
        """
        start, end, rate = message.start, message.end, message.rate
        follows = rate == self.rate and self.start <= start <= self.end
        if follows and start < end <= self.end:
            return
        if start < end:
            self.start, self.end, self.rate = self.start if follows else start, end, rate
        self.messages.append(message)


class Offsets:
    """The messages a restart would have to read again, per partition and station.

    Of every station the message before the first one needed is kept too: what was not decoded
    between two messages stays with the second. A station that is silent holds its partition until
    it is ended.

    Parameters
    ----------
    rate : int > 0
        Samples per second of the `oldest` that `settle` is told.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._next: dict[int, int] = {}
        self._needed: dict[int, int] = {}  # as last told, and committed
        self._stations: dict[int, dict[str, _Station]] = {}
        self._held: dict[int, dict[str, int]] = {}  # offset of a message not yet decided on

    @property
    def partitions(self) -> set[int]:
        """Partitions of which anything is known."""
        return set(self._next)

    def begin(self, partition: int, kafka_offset: int) -> None:
        """Say that `kafka_offset` is the next message of a partition just assigned."""
        self._next[partition] = self._needed[partition] = kafka_offset
        self._stations[partition] = {}
        self._held[partition] = {}

    def next(self, partition: int) -> int:
        """Return the offset after the last message passed."""
        return self._next[partition]

    def passed(self, partition: int, kafka_offset: int) -> None:
        """Note that a message was read, whatever was in it."""
        self._next[partition] = kafka_offset + 1

    def heard(self, partition: int, station: str, message: Heard) -> None:
        """Note a decoded message."""
        self._stations[partition].setdefault(station, _Station()).add(message)

    def hold(self, partition: int, station: str, kafka_offset: int) -> None:
        """Note a message that is needed again until `let_pass`, however long that takes."""
        self._held[partition][station] = kafka_offset

    def let_pass(self, partition: int, station: str) -> None:
        """Hold a station's message no longer."""
        self._held.get(partition, {}).pop(station, None)

    def settle(self, station: str, oldest: int) -> list[tuple[int, Begin]]:
        """Let go of what `station` no longer needs; return where a restart begins.

        Parameters
        ----------
        station : str
            Whose messages.
        oldest : int
            First sample still needed, at the rate of the constructor.

        Returns
        -------
        list of (partition, Begin)
            The first message to read again in each partition that the station is on.
        """
        first = []
        for partition, stations in self._stations.items():
            if (known := stations.get(station)) is None:
                continue
            messages = known.messages
            for _ in range(self._count_over(messages, oldest)):
                messages.popleft()
            first.append((partition, messages[0].begin))
        return first

    def needed(self, partition: int) -> int:
        """Return the first offset of a partition that a restart must read. It never goes back."""
        stations = self._stations[partition].values()
        held = [station.messages[0].begin.kafka_offset for station in stations]
        held += self._held[partition].values()
        at = max(min(held, default=self._next[partition]), self._needed[partition])
        self._needed[partition] = at
        return at

    def end(self, partition: int, station: str) -> None:
        """Let go of a station whose stream is at its end: nothing of it is needed again."""
        self._stations[partition].pop(station, None)

    def is_past(self, partition: int, kafka_offset: int) -> bool:
        """Say whether no restart reads the messages before an offset again."""
        return kafka_offset <= self._needed[partition]

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget partitions."""
        for partition in partitions:
            self._next.pop(partition, None)
            self._needed.pop(partition, None)
            self._stations.pop(partition, None)
            self._held.pop(partition, None)

    def _count_over(self, messages: Iterable[Heard], oldest: int) -> int:
        """Return how many of a station's first messages are not needed.

        Messages may be out of order: those after one that is needed stay. One that completes no
        frame does not tell what was not decoded before it.
        """
        count = 0
        for i, message in enumerate(messages):
            if not self._is_over(message, oldest):
                break
            if message.start < message.end:
                count = i
        return count

    def _is_over(self, message: Heard, oldest: int) -> bool:
        """Say whether all of a message lies before `oldest`."""
        return message.end * self._rate <= oldest * message.rate
