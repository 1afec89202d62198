"""Final events of bare MP3 and AAC have the same bytes, whichever message a worker died after."""

from __future__ import annotations

import pytest

from stream.kafka.checkpoint.partition_reader import PartitionReader
from stream.kafka.records.consumer_record import Received
from stream.kafka.settings import KafkaSettings
from stream.pipeline import Pipeline
from tests.stream import bare
from tests.stream.doubles import SMOOTH
from tests.stream.networks import FRONT_END, shipped
from tests.stream.partition import read_back

RATE = 16_000


class Worker:
    """PartitionReader and pipeline, without a broker."""

    def __init__(self, begin: int = 0, records: tuple = ()) -> None:
        self.reader = PartitionReader(
            KafkaSettings.default(), RATE, lambda *_: None, now=lambda: 0.0
        )
        self.pipeline = Pipeline(FRONT_END, shipped(), SMOOTH)
        self.at, self.final = begin, set()
        for station, snapshot in self.reader.begin(0, begin, records).items():
            self.pipeline.restore(station, snapshot)

    def read(self, sent: list[bare.Sent], to: int) -> None:
        """Process messages up to `to`."""
        chunks = []
        for offset in range(self.at, to):
            value, headers, arrived_ms = sent[offset]
            message = Received("audio", 0, offset, arrived_ms, b"a", value, headers)
            chunks += self.reader.read(message)
        self.note(self.pipeline.push(chunks))
        self.at = to

    def note(self, events: list) -> None:
        self.final |= {e.to_json() for e in events if getattr(e, "final", True)}

    def checkpoint(self) -> tuple[int, tuple]:
        """Return what the group has then: the committed offset, and the records."""
        written = self.reader.checkpoint({"a": self.pipeline.snapshot("a")})
        records = tuple(read_back(partition, saved) for partition, saved in written)
        return self.reader.commit_offset(0), records


@pytest.mark.long
@pytest.mark.parametrize(
    ("made", "size", "hint"),
    [
        (("mp3", 16_000, "mono", 24_000), 4000, "nothing"),
        (("aac", 16_000, "mono", 24_000), 4500, "nothing"),
        (("mp3", 44_100, "stereo", 64_000), 11_000, "time_ms"),
    ],
    ids=["mp3-16000", "aac-16000", "mp3-44100"],
)
def test_a_restart_after_any_message_changes_no_final_event(made, size, hint):
    sent = bare.messages(bare.stream(*made, seconds=40.0), [size, size // 3], hint)
    whole = Worker()
    stored = []
    for offset in range(len(sent)):
        whole.read(sent, offset + 1)
        stored.append((set(whole.final), *whole.checkpoint()))
    whole.note(whole.pipeline.push([], last=True))
    assert len(whole.final) > 30
    assert any('"schema":"airsift.segment/1"' in line for line in whole.final)
    for end, (before, committed, records) in enumerate(stored, 1):
        second = Worker(committed, records)
        second.read(sent, len(sent))
        second.note(second.pipeline.push([], last=True))
        assert before | second.final == whole.final, f"after message {end} of {len(sent)}"
