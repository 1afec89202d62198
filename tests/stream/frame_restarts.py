"""Members of a group that take over from each other in a stream of bare frames."""

from __future__ import annotations

from typing import NamedTuple

from stream.audio import AudioChunk
from stream.kafka.records.consumer_record import Received
from tests.stream.bare import Sent
from tests.stream.doubles import snapshot
from tests.stream.partition import new_reader, read_back

RATE = 16_000


class Read(NamedTuple):
    """What one member of a group read."""

    chunks: dict[tuple, tuple[int, AudioChunk]]  # by place, with the kafka_offset they came at
    committed: int
    records: list


def read(sent: list[Sent], begin: int, end: int, records: list, oldest_of) -> Read:
    """Read messages from `begin` to `end`, and checkpoint with what `oldest_of(chunks)` needs."""
    reader = new_reader(begin, records)
    chunks = {}
    for offset, (value, headers, arrived_ms) in enumerate(sent[begin:end], begin):
        for chunk in reader.read(Received("audio", 0, offset, arrived_ms, b"a", value, headers)):
            chunks[chunk.start, chunk.rate, chunk.ends] = offset, chunk
    written = reader.checkpoint({"a": snapshot(oldest_of(chunks))} if chunks else {})
    found = [read_back(partition, saved) for partition, saved in written]
    return Read(chunks, reader.commit_offset(0), found or records)


def same(a: AudioChunk, b: AudioChunk) -> bool:
    whole = (a.start, a.rate, a.time, a.ends) == (b.start, b.rate, b.time, b.ends)
    return whole and a.samples.tobytes() == b.samples.tobytes()


def check_restarts(sent: list[Sent], ends: list[int], back_s: float) -> None:
    """Assert that members that take over at `ends` read what one that never stopped reads."""
    whole = read(sent, 0, len(sent), [], lambda _: 0)
    assert whole.chunks
    member = Read({}, 0, [])
    oldest = 0

    def needed(chunks: dict[tuple, tuple[int, AudioChunk]]) -> int:
        found = [chunk for _, chunk in chunks.values()]
        last = max(chunk.end * RATE // chunk.rate for chunk in found) - int(back_s * RATE)
        # Nothing from before the end of a stream is needed.
        begun = [-(-c.start * RATE // c.rate) for c in found if c.ends or "ended" in c.gap_reason]
        return max(oldest, last, *begun, 0)

    for end in [*ends, len(sent)]:
        before = oldest
        member = read(sent, member.committed, max(end, member.committed), member.records, needed)
        if member.chunks:
            oldest = needed(member.chunks)
        for start, (offset, chunk) in member.chunks.items():
            if chunk.end * RATE > before * chunk.rate:
                first = whole.chunks[start][1]
                assert same(chunk, first), f"{offset} of {len(sent)}, ends {ends}"
                if chunk.start * RATE > before * chunk.rate:  # else its gap is not repeated
                    assert chunk.gap_reason == first.gap_reason
        wanted = {s for s, (_, c) in whole.chunks.items() if c.end * RATE > before * c.rate}
        assert {s for s in wanted if whole.chunks[s][0] < end} <= member.chunks.keys()
