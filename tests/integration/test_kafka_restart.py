"""A member ends, dies or joins: the others resume at the right offset."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from airsift.errors import BrokerError
from stream.audio import AudioChunk
from stream.kafka.checkpoint.record import StationRecord
from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.producer import Producer
from stream.kafka.client.source import KafkaSource
from stream.kafka.client.state_topic import StateTopic
from stream.kafka.codec.message import encode
from stream.kafka.settings import KafkaSettings
from stream.testing import noise
from tests.integration.source_reader import CHUNK, RATE, SourceReader, send
from tests.stream.doubles import snapshot as snapshot_at


def test_a_restart_resumes_at_the_oldest_sample_needed(
    kafka_settings: KafkaSettings, open_reader: Callable[[KafkaSettings], SourceReader]
) -> None:
    stations = {name: noise(5, seed=seed) for seed, name in enumerate("abcd")}
    for station, samples in stations.items():
        send(kafka_settings, station, samples)
    first = open_reader(kafka_settings)
    first.read_until(lambda: first.ends() == dict.fromkeys(stations, 5 * RATE))
    snapshots = {
        s: snapshot_at((2 + i // 2) * RATE, voice=i) for i, s in enumerate(sorted(stations))
    }
    first.source.checkpoint(snapshots)
    first.close()
    for station in stations:
        send(kafka_settings, station, noise(1))

    second = open_reader(kafka_settings)
    second.read_until(lambda: second.ends() == dict.fromkeys(stations, 6 * RATE))
    assert second.resumed == snapshots
    for station, snapshot in snapshots.items():
        # The message that the oldest sample is in, and the one before it.
        assert second.chunks[station][0].start == snapshot.oldest - CHUNK
        received = second.samples(station)[: 3 * RATE]
        at = second.chunks[station][0].start
        assert np.array_equal(received[: 5 * RATE - at], stations[station][at : at + 3 * RATE])


def test_arrival_order_goes_on_after_a_restart(
    kafka_settings: KafkaSettings, open_reader: Callable[[KafkaSettings], SourceReader]
) -> None:
    samples = noise(4)
    sender = Producer(kafka_settings)
    ensure_topics(kafka_settings, [kafka_settings.topics.audio])
    for i in range(8):
        message = encode(AudioChunk("a", 0, samples[i * CHUNK : (i + 1) * CHUNK], RATE))
        headers = [(name, value) for name, value in message.headers if name != "start_sample"]
        sender.send(kafka_settings.topics.audio, message.key, message.value, headers)
    sender.flush()
    sender.close()
    first = open_reader(kafka_settings)
    first.read_until(lambda: len(first.chunks.get("a", [])) == 8)
    places = [chunk.start for chunk in first.chunks["a"]]
    assert places == list(range(places[0], places[0] + 8 * CHUNK, CHUNK))
    first.source.checkpoint({"a": snapshot_at(places[5])})
    first.close()
    second = open_reader(kafka_settings)
    second.read_until(lambda: len(second.chunks.get("a", [])) == 4)
    assert [chunk.start for chunk in second.chunks["a"]] == places[4:]


def test_messages_without_a_checkpoint_are_read_again(
    kafka_settings: KafkaSettings, open_reader: Callable[[KafkaSettings], SourceReader]
) -> None:
    send(kafka_settings, "a", noise(2))
    for _ in range(2):
        reader = open_reader(kafka_settings)
        reader.read_until(lambda reader=reader: reader.ends() == {"a": 2 * RATE})
        assert np.array_equal(reader.samples("a"), noise(2))
        assert reader.resumed == {}
        reader.close()


def test_a_second_worker_takes_over_what_the_first_settled(
    kafka_settings: KafkaSettings, open_reader: Callable[[KafkaSettings], SourceReader]
) -> None:
    stations = [f"s{i}" for i in range(9)]
    for station in stations:
        send(kafka_settings, station, noise(2))
    first = open_reader(kafka_settings)
    first.read_until(lambda: len(first.ends()) == 9 and set(first.ends().values()) == {2 * RATE})
    snapshots = {s: snapshot_at(RATE, voice=i) for i, s in enumerate(stations)}
    first.source.checkpoint(snapshots)

    second = SourceReader(kafka_settings)
    leave = threading.Event()
    # A member must be in `poll` while it joins, so each has a thread.
    thread = threading.Thread(target=follow_group, args=(second, leave))
    thread.start()
    try:
        first.read_until(lambda: bool(first.lost) and bool(second.resumed))
        moved, stayed = set(first.lost), set(stations) - first.lost
        assert second.resumed == {s: snapshots[s] for s in moved}
        for station in stations:
            send(kafka_settings, station, noise(1))
        first.read_until(
            lambda: (
                all(first.ends()[s] == 3 * RATE for s in stayed)
                and all(second.ends().get(s) == 3 * RATE for s in moved)
            )
        )
    finally:
        leave.set()
        thread.join()
    for station in stayed:  # nothing twice on partitions that stayed
        assert len(first.samples(station)) == 3 * RATE
    for station in moved:
        assert second.chunks[station][0].start == CHUNK
        assert len(second.samples(station)) == 3 * RATE - CHUNK
    first.read_until(lambda: set(first.resumed) == moved)


def follow_group(reader: SourceReader, leave: threading.Event) -> None:
    while not leave.is_set():
        reader.step()
    reader.close()


CONSUMER = """
import sys
from stream.kafka.settings import KafkaSettings
from stream.kafka.client.source import KafkaSource
from stream.sources.base import Resumed, audio_of
from tests.stream.doubles import snapshot
source = KafkaSource(KafkaSettings.model_validate_json(sys.argv[1]), rate=16_000)
out = open(sys.argv[2], "a")
ends = {}
for batch in source:
    for item in batch:
        if isinstance(item, Resumed):
            print("resumed", item.station, item.snapshot.oldest, 0, file=out)
    for chunk in audio_of(batch):
        print("received", chunk.station, chunk.start, chunk.end, file=out)
        ends[chunk.station] = chunk.end
    out.flush()
    source.checkpoint({s: snapshot(max(0, end - 16000)) for s, end in ends.items()})
    for station, end in ends.items():
        print("settled", station, end, end, file=out)
    out.flush()
"""


def test_kill_9_leaves_no_hole(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    stations, seconds = ["a", "b", "c"], 12
    log = tmp_path / "received"
    log.touch()

    def lines(word: str = "received") -> dict[str, set[tuple[int, int]]]:
        found: dict[str, set[tuple[int, int]]] = {station: set() for station in stations}
        for line in log.read_text().splitlines():
            kind, station, start, end = line.split()
            if kind == word:
                found[station].add((int(start), int(end)))
        return found

    def start() -> subprocess.Popen[bytes]:
        arguments = [kafka_settings.model_dump_json(), str(log)]
        return subprocess.Popen([sys.executable, "-c", CONSUMER, *arguments])

    consumer = start()
    try:
        for second in range(seconds):
            for station in stations:
                send(kafka_settings, station, noise(1))
            if second % 4 == 3:
                deadline = time.monotonic() + 120
                wanted = (second + 1) * RATE
                word = "settled" if second == 3 else "received"  # killed behind it, and within
                while min(max((e for _, e in h), default=0) for h in lines(word).values()) < wanted:
                    assert time.monotonic() < deadline, lines(word)
                    time.sleep(0.05)
                consumer.send_signal(signal.SIGKILL)
                consumer.wait()
                consumer = start()
    finally:
        consumer.kill()
        consumer.wait()
    every = {(at, at + CHUNK) for at in range(0, seconds * RATE, CHUNK)}
    assert lines() == dict.fromkeys(stations, every)
    assert all(lines("resumed").values())


def test_a_zombies_older_state_does_not_win(kafka_settings: KafkaSettings) -> None:
    sender = Producer(kafka_settings)
    log = StateTopic(kafka_settings, sender, lambda: None)
    ensure_topics(kafka_settings, [kafka_settings.topics.state])
    for oldest in (100, 300, 200):
        log.write(1, StationRecord("a", 0, 0, RATE, snapshot_at(oldest)))
    other = StateTopic(kafka_settings.model_copy(update={"group": "other"}), sender, lambda: None)
    other.write(1, StationRecord("a", 0, 0, RATE, snapshot_at(900)))
    sender.flush()
    sender.close()
    found = log.read({0: 0, 1: 0})
    assert found[0] == {}
    assert found[1]["a"].record.snapshot == snapshot_at(300)


def test_a_state_topic_that_is_too_small_is_named(kafka_settings: KafkaSettings) -> None:
    small = kafka_settings.topics.model_copy(update={"partitions": 2})
    ensure_topics(
        kafka_settings.model_copy(update={"topics": small}), [kafka_settings.topics.state]
    )
    with pytest.raises(
        BrokerError, match=r"state has 2 partitions, needs 3 and cannot be given more: .*CreatePart"
    ):
        KafkaSource(kafka_settings, rate=RATE)
