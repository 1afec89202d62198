"""Source, sink and publisher over a real broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airsift.errors import Backpressure, BrokerError, ConfigError
from stream.audio import AudioChunk
from stream.drive import Stop
from stream.events import Decision, Gap, Match, Segment
from stream.kafka.client import connect_producer, ensure_topics
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.last import end_of_station
from stream.kafka.publish import publish
from stream.kafka.saved import Saved
from stream.kafka.sender import Sender
from stream.kafka.settings import KafkaSettings, SecuritySettings
from stream.kafka.sink import KafkaSink
from stream.kafka.source import KafkaSource
from stream.kafka.state import StateLog
from stream.kafka.tail import follow
from stream.kafka.wire import encode
from stream.sources import Batch

RATE = 16000
CHUNK = RATE // 2


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """Return noise of 16 bit values, so that pcm and flac carry it unchanged."""
    values = np.random.default_rng(seed).integers(-8000, 8000, round(seconds * RATE))
    return (values / 32768).astype(np.float32)


class ListSource:
    """One batch of given chunks."""

    resumable = False

    def __init__(self, *chunks: AudioChunk) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[Batch]:
        for chunk in self.chunks:
            yield Batch([chunk])

    def settle(self, snapshots: Any) -> None: ...

    def close(self) -> None: ...


def send(
    settings: KafkaSettings, station: str, samples: np.ndarray, *, first: int = 0, **options: Any
) -> None:
    source = ListSource(AudioChunk(station, first, samples, RATE))
    publish(source, settings, stop=Stop(), speed=None, **{"codec": "pcm", **options})


class Ear:
    """Reads a source as a driver does, and keeps what it hears."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.source = KafkaSource(settings)
        self.batches = iter(self.source)
        self.chunks: dict[str, list[AudioChunk]] = {}
        self.resumed: dict[str, dict[str, Any]] = {}
        self.lost: set[str] = set()

    def listen(self, enough: Callable[[], bool], timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not enough():
            assert time.monotonic() < deadline, f"heard only {self.ends()}"
            self.step()

    def step(self) -> None:
        batch = next(self.batches)
        self.resumed |= batch.resumed
        self.lost |= batch.lost
        for chunk in batch.chunks:
            self.chunks.setdefault(chunk.station, []).append(chunk)

    def ends(self) -> dict[str, int]:
        return {station: chunks[-1].end for station, chunks in self.chunks.items()}

    def samples(self, station: str) -> np.ndarray:
        return np.concatenate([chunk.samples for chunk in self.chunks[station]])

    def close(self) -> None:
        self.source.close()


@pytest.fixture
def ears() -> Iterator[Callable[[KafkaSettings], Ear]]:
    opened: list[Ear] = []

    def make(settings: KafkaSettings) -> Ear:
        opened.append(Ear(settings))
        return opened[-1]

    yield make
    for ear in opened:
        ear.close()


def read_all(settings: KafkaSettings, *topics: str) -> list[Any]:
    return list(follow(settings, topics, stop=Stop(), from_start=True, until_end=True))


@pytest.mark.parametrize("codec", ["pcm", "f32", "flac"])
def test_what_is_published_is_heard(
    kafka_settings: KafkaSettings, ears: Callable[[KafkaSettings], Ear], codec: str
) -> None:
    sent = {name: noise(3.3, seed) for seed, name in enumerate(["one", "zwei", "три 3"])}
    for station, samples in sent.items():
        send(kafka_settings, station, samples, codec=codec, chunk_ms=200)
    ear = ears(kafka_settings)
    ear.listen(lambda: len(ear.ends()) == 3 and min(ear.ends().values()) == len(sent["one"]))
    for station, samples in sent.items():
        assert np.array_equal(ear.samples(station), samples)
        assert [chunk.start for chunk in ear.chunks[station]] == list(range(0, 52800, 3200))


def test_a_publisher_that_comes_back_goes_on(kafka_settings: KafkaSettings) -> None:
    send(kafka_settings, "a", noise(1.3))
    assert end_of_station(kafka_settings, "a") == (20800, RATE)
    assert end_of_station(kafka_settings, "b") is None
    send(kafka_settings, "a", noise(1))
    assert end_of_station(kafka_settings, "a") == (36800, RATE)


def test_a_live_publisher_counts_from_1970(kafka_settings: KafkaSettings) -> None:
    before = time.time()
    send(kafka_settings, "a", noise(1), live=True)
    last = end_of_station(kafka_settings, "a")
    assert last is not None
    assert before + 1 <= last[0] / RATE <= time.time() + 1.1


def test_opus_at_44100_is_resampled(
    kafka_settings: KafkaSettings, ears: Callable[[KafkaSettings], Ear]
) -> None:
    source = ListSource(AudioChunk("a", 0, np.zeros(44100, np.float32), 44100))
    publish(source, kafka_settings, stop=Stop(), speed=None, codec="opus")
    ear = ears(kafka_settings)
    ear.listen(lambda: ear.ends() == {"a": 48000})
    assert {chunk.rate for chunk in ear.chunks["a"]} == {48000}


def test_messages_that_are_no_audio_become_dead_letters(
    kafka_settings: KafkaSettings, ears: Callable[[KafkaSettings], Ear]
) -> None:
    topic = kafka_settings.topics.audio
    send(kafka_settings, "a", noise(1))
    producer = connect_producer(kafka_settings.model_copy(update={"max_request_bytes": 60_000_000}))
    flac = [("content-type", b"audio/flac")]
    producer.send(topic, b"no headers", b"a")
    producer.send(topic, os.urandom(3000), b"a", flac).get(10)
    producer.send(topic, bytes(50_000_000), b"a", flac).get(30)
    producer.send(topic, b"no key", None, flac)
    producer.close()
    later = encode(AudioChunk("a", 2 * RATE, noise(1), RATE))
    sender = Sender(kafka_settings)
    sender.send(topic, later.key, later.value, later.headers)
    sender.flush()
    sender.close()

    ear = ears(kafka_settings)
    ear.listen(lambda: ear.ends() == {"a": 3 * RATE} and ear.source.counts["dead_letters"] == 4)
    assert ear.chunks["a"][-1].gap_reason == "a message could not be decoded"
    ear.source.settle({})
    letters = read_all(kafka_settings, kafka_settings.topics.dead_letters)
    told = {
        dict(letter.headers)["airsift-reason"].decode().partition(":")[0]: letter
        for letter in letters
    }
    assert sorted(told) == [
        "3000 bytes do not decode as flac",
        "50000000 bytes are more than kafka.wire.max_bytes=8388608; send shorter chunks",
        "header content-type is missing",
        "the message has no key",
    ]
    letter = told["header content-type is missing"]
    headers = {name: value.decode() for name, value in letter.headers}
    assert (letter.key, letter.value, headers["airsift-topic"]) == (b"a", b"no headers", topic)
    assert int(headers["airsift-kafka-offset"]) >= 0
    kept = dict(told["3000 bytes do not decode as flac"].headers)
    assert kept["content-type"] == b"audio/flac"
    cut = told["50000000 bytes are more than kafka.wire.max_bytes=8388608; send shorter chunks"]
    assert (len(cut.value), dict(cut.headers)["airsift-truncated"]) == (65536, b"50000000")


def test_a_restart_resumes_at_the_oldest_sample_needed(
    kafka_settings: KafkaSettings, ears: Callable[[KafkaSettings], Ear]
) -> None:
    stations = {name: noise(5, seed) for seed, name in enumerate("abcd")}
    for station, samples in stations.items():
        send(kafka_settings, station, samples)
    first = ears(kafka_settings)
    first.listen(lambda: first.ends() == dict.fromkeys(stations, 5 * RATE))
    snapshots = {
        s: {"oldest": (2 + i // 2) * RATE, "name": s} for i, s in enumerate(sorted(stations))
    }
    first.source.settle(snapshots)
    first.close()
    for station in stations:
        send(kafka_settings, station, noise(1))

    second = ears(kafka_settings)
    second.listen(lambda: second.ends() == dict.fromkeys(stations, 6 * RATE))
    assert second.resumed == snapshots
    for station, snapshot in snapshots.items():
        # The message that the oldest sample is in, and the one before it.
        assert second.chunks[station][0].start == snapshot["oldest"] - CHUNK
        heard = second.samples(station)[: 3 * RATE]
        at = second.chunks[station][0].start
        assert np.array_equal(heard[: 5 * RATE - at], stations[station][at : at + 3 * RATE])


def test_arrival_order_goes_on_after_a_restart(
    kafka_settings: KafkaSettings, ears: Callable[[KafkaSettings], Ear]
) -> None:
    samples = noise(4)
    sender = Sender(kafka_settings)
    ensure_topics(kafka_settings, [kafka_settings.topics.audio])
    for i in range(8):
        message = encode(AudioChunk("a", 0, samples[i * CHUNK : (i + 1) * CHUNK], RATE))
        headers = [(name, value) for name, value in message.headers if name != "start_sample"]
        sender.send(kafka_settings.topics.audio, message.key, message.value, headers)
    sender.flush()
    sender.close()
    first = ears(kafka_settings)
    first.listen(lambda: len(first.chunks.get("a", [])) == 8)
    places = [chunk.start for chunk in first.chunks["a"]]
    assert places == list(range(places[0], places[0] + 8 * CHUNK, CHUNK))
    first.source.settle({"a": {"oldest": places[5]}})
    first.close()
    second = ears(kafka_settings)
    second.listen(lambda: len(second.chunks.get("a", [])) == 4)
    assert [chunk.start for chunk in second.chunks["a"]] == places[4:]


def test_what_was_not_settled_is_heard_again(
    kafka_settings: KafkaSettings, ears: Callable[[KafkaSettings], Ear]
) -> None:
    send(kafka_settings, "a", noise(2))
    for _ in range(2):
        ear = ears(kafka_settings)
        ear.listen(lambda ear=ear: ear.ends() == {"a": 2 * RATE})
        assert np.array_equal(ear.samples("a"), noise(2))
        assert ear.resumed == {}
        ear.close()


def test_a_second_worker_takes_over_what_the_first_settled(
    kafka_settings: KafkaSettings, ears: Callable[[KafkaSettings], Ear]
) -> None:
    stations = [f"s{i}" for i in range(9)]
    for station in stations:
        send(kafka_settings, station, noise(2))
    first = ears(kafka_settings)
    first.listen(lambda: len(first.ends()) == 9 and set(first.ends().values()) == {2 * RATE})
    first.source.settle({s: {"oldest": RATE, "of": s} for s in stations})

    second = Ear(kafka_settings)
    leave = threading.Event()
    # A member must be in `poll` while it joins, so each has a thread.
    thread = threading.Thread(target=follow_group, args=(second, leave))
    thread.start()
    try:
        first.listen(lambda: bool(first.lost) and bool(second.resumed))
        moved, kept = set(first.lost), set(stations) - first.lost
        assert second.resumed == {s: {"oldest": RATE, "of": s} for s in moved}
        for station in stations:
            send(kafka_settings, station, noise(1))
        first.listen(
            lambda: (
                all(first.ends()[s] == 3 * RATE for s in kept)
                and all(second.ends().get(s) == 3 * RATE for s in moved)
            )
        )
    finally:
        leave.set()
        thread.join()
    for station in kept:  # nothing twice on partitions that stayed
        assert len(first.samples(station)) == 3 * RATE
    for station in moved:
        assert second.chunks[station][0].start == CHUNK
        assert len(second.samples(station)) == 3 * RATE - CHUNK
    first.listen(lambda: set(first.resumed) == moved)


def follow_group(ear: Ear, leave: threading.Event) -> None:
    while not leave.is_set():
        ear.step()
    ear.close()


CONSUMER = """
import sys
from stream.kafka.settings import KafkaSettings
from stream.kafka.source import KafkaSource
source = KafkaSource(KafkaSettings.model_validate_json(sys.argv[1]))
out = open(sys.argv[2], "a")
ends = {}
for batch in source:
    for station, snapshot in batch.resumed.items():
        print("resumed", station, snapshot["oldest"], 0, file=out)
    for chunk in batch.chunks:
        print("heard", chunk.station, chunk.start, chunk.end, file=out)
        ends[chunk.station] = chunk.end
    out.flush()
    source.settle({station: {"oldest": max(0, end - 16000)} for station, end in ends.items()})
"""


def test_kill_9_leaves_no_hole(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    stations, seconds = ["a", "b", "c"], 12
    log = tmp_path / "heard"
    log.touch()

    def heard(word: str = "heard") -> dict[str, set[tuple[int, int]]]:
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
                deadline = time.monotonic() + 30
                wanted = (second + 1) * RATE
                while min(max((e for _, e in h), default=0) for h in heard().values()) < wanted:
                    assert time.monotonic() < deadline, heard()
                    time.sleep(0.05)
                consumer.send_signal(signal.SIGKILL)
                consumer.wait()
                consumer = start()
    finally:
        consumer.kill()
        consumer.wait()
    every = {(at, at + CHUNK) for at in range(0, seconds * RATE, CHUNK)}
    assert heard() == dict.fromkeys(stations, every)
    assert all(heard("resumed").values())


def test_a_zombies_older_state_does_not_win(kafka_settings: KafkaSettings) -> None:
    sender = Sender(kafka_settings)
    log = StateLog(kafka_settings, sender)
    ensure_topics(kafka_settings, [kafka_settings.topics.state])
    for oldest in (100, 300, 200):
        log.write(1, Saved("a", 0, 0, RATE, {"oldest": oldest}))
    other = StateLog(kafka_settings.model_copy(update={"group": "other"}), sender)
    other.write(1, Saved("a", 0, 0, RATE, {"oldest": 900}))
    sender.flush()
    sender.close()
    found = log.read({0: 0, 1: 0})
    assert found[0] == {}
    assert found[1]["a"].saved.snapshot == {"oldest": 300}


def test_a_state_topic_that_is_too_small_is_named(kafka_settings: KafkaSettings) -> None:
    small = kafka_settings.topics.model_copy(update={"partitions": 2})
    ensure_topics(
        kafka_settings.model_copy(update={"topics": small}), [kafka_settings.topics.state]
    )
    with pytest.raises(
        BrokerError, match=r"state has 2 partitions, .*audio has 3: give it as many"
    ):
        KafkaSource(kafka_settings)


EVENTS = [
    Decision("a", 0, 80000, RATE, 1.5, 0.9, 0.1),
    Segment("b", 0, 80000, RATE, None, "music", 0.8, False),
    Match("a", 0, 80000, RATE, None, "t", "Title", "Ärtist", 0, 17.0, True),
    Gap("b", 80000, 96000, RATE, None, "missing"),
]


def test_events_go_to_their_topics(kafka_settings: KafkaSettings) -> None:
    sink = KafkaSink(kafka_settings)
    sink.write(EVENTS)
    sink.flush()
    sink.close()
    sink.close()
    topics = kafka_settings.topics.events
    for event in EVENTS:
        [record] = read_all(kafka_settings, topics[event.kind])
        assert record.key.decode() == event.station
        assert json.loads(record.value) == event.to_dict()
        assert dict(record.headers)["schema"].decode() == event.to_dict()["schema"]


def test_a_sink_on_a_dead_broker_pushes_back_and_then_fails(kafka_settings: KafkaSettings) -> None:
    with EmbeddedBroker() as broker:
        settings = kafka_settings.model_copy(
            update={
                "bootstrap_servers": broker.bootstrap_servers,
                "max_pending_events": 3,
                "delivery_timeout_s": 1.0,
                "request_timeout_s": 1.0,
            }
        )
        sink = KafkaSink(settings)
        sink.write(EVENTS)  # more than may wait, but nothing waits yet
        sink.flush()
        broker.stop()
        sink.write(EVENTS[:2])
        with pytest.raises(Backpressure, match="max_pending_events=3") as caught:
            sink.write(EVENTS[:2])
        assert caught.value.retry_after_s > 0
        with pytest.raises(BrokerError):
            sink.flush()
        sink._sender.close()


def test_a_source_outlives_its_broker_and_can_be_closed(
    kafka_settings: KafkaSettings, ears: Callable[[KafkaSettings], Ear]
) -> None:
    with EmbeddedBroker() as broker:
        settings = kafka_settings.model_copy(
            update={
                "bootstrap_servers": broker.bootstrap_servers,
                "delivery_timeout_s": 1.0,
                "request_timeout_s": 3.0,
            }
        )
        send(settings, "a", noise(2))
        ear = ears(settings)
        ear.listen(lambda: ear.ends() == {"a": 2 * RATE})
        ear.source.settle({"a": {"oldest": 0}})
        ear.source._committed.clear()
        broker.stop()
        ear.step()
        ear.source.settle({})
        assert ear.source.counts["commit_failures"] == 1
        with pytest.raises(BrokerError):
            ear.source.settle({"a": {"oldest": RATE}})
        before = time.monotonic()
        ear.close()
        assert time.monotonic() - before < 10


def test_a_message_beyond_the_limit_is_named(kafka_settings: KafkaSettings) -> None:
    sender = Sender(kafka_settings)
    with pytest.raises(BrokerError, match="20000000 bytes cannot be sent to topic x"):
        sender.send("x", b"k", bytes(20_000_000), [])
    sender.close()


def test_no_broker_is_one_line(kafka_settings: KafkaSettings) -> None:
    nowhere = kafka_settings.model_copy(
        update={"bootstrap_servers": "127.0.0.1:9", "connect_timeout_s": 0.5}
    )
    for part in (KafkaSource, KafkaSink):
        with pytest.raises(
            BrokerError, match=r"no Kafka broker answers at 127\.0\.0\.1:9"
        ) as caught:
            part(nowhere)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bootstrap_servers": "localhost"}, "'localhost' has no port; write host:port"),
        (
            {"security": SecuritySettings(protocol="SSL", ca_file="/nowhere.pem")},
            "kafka.security.ca_file='/nowhere.pem'",
        ),
    ],
)
def test_settings_that_cannot_work_are_named(
    kafka_settings: KafkaSettings, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        KafkaSink(kafka_settings.model_copy(update=change))


def test_a_login_needs_a_name() -> None:
    with pytest.raises(ValueError, match="protocol=SASL_SSL needs a username"):
        SecuritySettings(protocol="SASL_SSL")


def test_secrets_are_not_printed() -> None:
    security = SecuritySettings(protocol="SASL_SSL", username="me", password="hush")
    assert "hush" not in repr(security)
    assert "hush" not in security.model_dump_json()


def test_a_topic_that_is_not_there_is_named(kafka_settings: KafkaSettings) -> None:
    with pytest.raises(BrokerError, match=r"has no topic test\.nothing"):
        next(follow(kafka_settings, ["test.nothing"], stop=Stop()))


HOLDER = """
import time
from stream.kafka.embedded import EmbeddedBroker
with EmbeddedBroker() as broker:
    print(broker.process.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_the_embedded_broker_dies_with_a_parent_killed() -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    pid = int(holder.stdout.readline())
    holder.kill()
    holder.wait()
    holder.stdout.close()
    deadline = time.monotonic() + 10
    while _is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
