"""One worker after another on one partition of the audio topic, without Kafka."""

from __future__ import annotations

from stream.kafka.checkpoint.partition_reader import PartitionReader
from stream.kafka.records.consumer_record import Received
from stream.kafka.settings import KafkaSettings
from tests.stream.partition import read_back
from tests.stream.restarts import RATE, make, through_json


class Group:
    """What outlives its workers: the messages, the committed offset, records and events.

    Parameters
    ----------
    make : callable
        Returns a pipeline.
    options
        Of `KafkaSettings`.
    """

    def __init__(self, make=make, **options):
        self.make, self.settings = make, KafkaSettings.default(**options)
        self.log, self.committed, self.records = [], 0, {}
        self.events, self.refused = [], []
        self.finals = {}
        self.now = 0.0
        self.start()

    def send(self, message, timestamp=-1):
        self.log.append((timestamp, message))

    def start(self):
        """Let another worker go on; what the last one did not commit is lost to it."""
        self.reader = PartitionReader(self.settings, RATE, self._refuse, now=lambda: self.now)
        self.pipeline = self.make()
        self.touched = set()
        self.next = self.committed
        self.resumed = self.reader.begin(0, self.committed, list(self.records.values()))
        for station, snapshot in self.resumed.items():
            assert self.pipeline.restore(station, snapshot)

    def read(self, n=None):
        """Read up to `n` messages, in one batch."""
        until = len(self.log) if n is None else min(self.next + n, len(self.log))
        chunks = []
        for offset in range(self.next, until):
            timestamp, message = self.log[offset]
            chunks += self.reader.read(Received("audio", 0, offset, timestamp, *message))
        self.next = until
        self._push(chunks)

    def turn(self, seconds=1.0):
        """Let time pass, and look who is silent."""
        self.now += seconds
        ends, forgotten = self.reader.tick({0} if self.next == len(self.log) else set())
        for station in forgotten:
            self.pipeline.forget(station)
        self.touched -= forgotten
        self._push(ends)

    def checkpoint(self):
        snapshots = {s: through_json(self.pipeline.snapshot(s)) for s in sorted(self.touched)}
        for station, snapshot in snapshots.items():
            other = self.make()
            assert other.restore(station, snapshot)
            assert other.snapshot(station) == snapshot
        for partition, saved in self.reader.checkpoint(snapshots):
            back = read_back(partition, saved)
            assert back == saved or saved.silent_s
            if back.snapshot is None:
                self.records.pop(back.station, None)
            else:
                self.records[back.station] = back
        self.committed = self.reader.commit_offset(0)
        self.touched = set()

    def is_idle(self, station):
        """Return whether a station's record marks it as idle."""
        saved = self.records.get(station)
        return saved is not None and saved.silent_s >= self.settings.idle_s

    def wait(self, seconds):
        """Turn, with a checkpoint once a second."""
        for _ in range(round(seconds)):
            self.turn()
            self.checkpoint()

    def _push(self, chunks):
        self.touched |= {chunk.station for chunk in chunks}
        events = self.pipeline.push(chunks)
        self.events += events
        for event in events:
            if getattr(event, "final", True):
                line = event.to_json()
                assert self.finals.setdefault(event.id, line) == line

    def _refuse(self, message, reason):
        self.refused.append(reason)
