"""`airsift history record`: events on topics become rows, once each, whoever publishes them."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airsift.errors import BrokerError
from airsift.recorder import Recorder
from stream.events import Decision, Gap, Match, Segment
from stream.history.rows import row_of
from stream.kafka.client.connect import connect_producer, ensure_topics
from stream.kafka.client.event_topics import EventTopics
from stream.kafka.client.sink import KafkaSink
from stream.kafka.codec.event_message import EventFormat
from stream.kafka.settings import KafkaSettings
from stream.sinks.database import DatabaseSink
from tests.command import airsift
from tests.stream.databases import Base, database_settings
from tests.waiting import wait_until

pytestmark = pytest.mark.process

RATE = 16_000
ROOT = Path(__file__).parents[2]
KINDS = ["segment", "match", "gap"]
T0 = 1_800_000_000


def segment(number: int, *, final: bool = True, length: int = 1) -> Segment:
    start = (T0 + number) * RATE
    label = "music" if number % 2 else "speech"
    return Segment(
        f"radio {number % 3}", start, start + length * RATE, RATE, T0 + number, label, 0.9, final
    )


EVENTS = [
    *(segment(number) for number in range(0, 60, 2)),
    Match("radio 1", T0 * RATE, (T0 + 30) * RATE, RATE, T0, "t", "Title", "Ärtist", 0, 9.0, True),
    Gap("radio 2", T0 * RATE, (T0 + 3) * RATE, RATE, T0, "connection lost"),
    Decision("radio 0", T0 * RATE, (T0 + 5) * RATE, RATE, T0, 0.9, 0.1),  # not of the kinds
]  # fmt: skip


def publish(settings: KafkaSettings, events) -> None:
    sink = KafkaSink(settings)
    sink.write(events)
    sink.close()


def record(settings: KafkaSettings, url: Path, folder: Path, **changes: object) -> Recorder:
    """Record what the topics hold, as a process that then ends."""
    sink = DatabaseSink(database_settings(url, folder, **changes))
    source = EventTopics(settings, KINDS, f"{settings.group}-history")
    recorder = Recorder(source, sink, KINDS, every_s=0.2)
    try:
        while not source.is_at_end:
            recorder.step()
        assert recorder.commit()
    finally:
        source.close()
        sink.close()
    return recorder


def arguments(settings: KafkaSettings, url: Path) -> list[str]:
    """Return the options by which a command works on the topics of a test."""
    topics = settings.topics.model_dump()
    sets = [f"kafka.topics.{name}={topic}" for name, topic in topics.items()]
    sets += [
        f"database.url={url}", f"database.spool_folder={url.parent / 'spool'}", "watch.port=0",
        'database.kinds=["segment", "match", "gap"]', "kafka.session_timeout_s=6",
    ]  # fmt: skip
    return [
        "--kafka", settings.bootstrap_servers, "--group", f"{settings.group}-command",
        *(f"--set={each}" for each in sets),
    ]  # fmt: skip


def count(url: Path) -> int:
    """Return how many rows there are, 0 without a history."""
    try:
        with sqlite3.connect(f"{url.as_uri()}?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT count(*) FROM airsift_events").fetchone()[0])
    except sqlite3.Error:
        return 0


def stored(url: Path) -> list:
    with Base(url).history() as history:
        return sorted(history.rows(undated=True), key=lambda row: row.key)


def expected(events) -> list:
    rows = [row_of(event) for event in events if event.kind in KINDS]
    return sorted(rows, key=lambda row: row.key)


def test_events_of_topics_are_in_the_history_once(kafka_settings: KafkaSettings, tmp_path: Path):
    url = tmp_path / "history.db"
    publish(kafka_settings, EVENTS[:20])
    first = record(kafka_settings, url, tmp_path)
    assert first.written == 20
    assert stored(url) == expected(EVENTS[:20])
    # What came meanwhile, and nothing again.
    publish(kafka_settings, EVENTS[20:])
    publish(kafka_settings, [EVENTS[3]])  # as after a restart of its worker
    second = record(kafka_settings, url, tmp_path)
    assert second.written == len(expected(EVENTS[20:])) + 1
    assert stored(url) == expected(EVENTS)


def test_a_segment_that_grows_is_one_row(kafka_settings: KafkaSettings, tmp_path: Path):
    url = tmp_path / "history.db"
    open_ones = [segment(7, final=False, length=n) for n in (1, 2, 3)]
    publish(kafka_settings, [*open_ones, segment(7, length=4)])
    record(kafka_settings, url, tmp_path)
    assert stored(url) == expected([segment(7, length=4)])


def test_messages_that_are_no_events_are_left_out(kafka_settings: KafkaSettings, tmp_path: Path):
    url = tmp_path / "history.db"
    ensure_topics(kafka_settings, kafka_settings.topics.of_events(KINDS).values())
    producer = connect_producer(kafka_settings)
    topic = kafka_settings.topics.segments
    for value in (b"", b"{", b"\xff\xfe", b'{"schema": "airsift.segment/1"}', None):
        producer.send(topic, value, b"radio 1").get(10)
    producer.close()
    publish(kafka_settings, [segment(1)])
    recorder = record(kafka_settings, url, tmp_path)
    assert (recorder.damaged, recorder.written) == (5, 1)
    assert stored(url) == expected([segment(1)])


def test_framed_events_are_stored_as_others_are(kafka_settings: KafkaSettings, tmp_path: Path):
    url = tmp_path / "history.db"
    ensure_topics(kafka_settings, kafka_settings.topics.of_events(KINDS).values())
    producer = connect_producer(kafka_settings)
    form = EventFormat(schema_ids={"segment": 7})
    message = form.encode(segment(1))
    producer.send(kafka_settings.topics.segments, message.value, message.key).get(10)
    producer.close()
    assert record(kafka_settings, url, tmp_path).written == 1
    assert stored(url) == expected([segment(1)])


def test_without_the_database_nothing_is_committed(kafka_settings: KafkaSettings, tmp_path: Path):
    """Without a spool, what a process could not write is read again by the next."""
    url = tmp_path / "history.db"
    publish(kafka_settings, EVENTS[:5])
    changes = {"spool_mb": 0, "flush_timeout_s": 0.5}
    sink = DatabaseSink(database_settings(url, tmp_path, **changes))
    source = EventTopics(kafka_settings, KINDS, f"{kafka_settings.group}-history")
    recorder = Recorder(source, sink, KINDS, every_s=60.0)
    with Base(url).writer() as writer, writer._engine.begin():  # the lock, as of a long backup
        while not source.is_at_end:
            recorder.step()
        assert not recorder.commit()
        source.close()
        assert source.counts["commits"] == 0
    sink.close()
    assert record(kafka_settings, url, tmp_path).written == 5
    assert stored(url) == expected(EVENTS[:5])


def test_another_reader_with_the_same_instance_id_is_an_error(apache_settings: KafkaSettings):
    """The broker knows one member of that name: the one that came before is told, and ends."""
    publish(apache_settings, EVENTS[:5])
    settings = apache_settings.model_copy(update={"instance_id": "desk"})
    readers = [EventTopics(settings, KINDS, f"{settings.group}-history")]
    try:
        wait_until(lambda: readers[0].poll() or readers[0].counts["messages"], 30)
        readers.append(EventTopics(settings, KINDS, f"{settings.group}-history"))
        told = ""
        deadline = time.monotonic() + 60
        while not told:
            assert time.monotonic() < deadline, [reader.counts for reader in readers]
            publish(apache_settings, EVENTS[5:8])
            try:
                for reader in readers:
                    reader.poll()
                    reader.commit()
            except BrokerError as error:
                told = str(error)
        assert f"kafka.group='{settings.group}-history' runs with kafka.instance_id='desk'" in told
    finally:
        for reader in readers:
            reader.close()


@pytest.mark.long
def test_a_process_that_is_killed_loses_and_doubles_nothing(
    kafka_settings: KafkaSettings, tmp_path: Path
):
    url = tmp_path / "history.db"
    events = [segment(number) for number in range(6000)]
    publish(kafka_settings, events)
    command = [
        sys.executable,
        "-m",
        "airsift",
        "history",
        "record",
        *arguments(kafka_settings, url),
    ]
    for wanted, end in ((1, signal.SIGKILL), (2500, signal.SIGTERM)):
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda wanted=wanted: count(url) >= wanted, 60, process=process)
            process.send_signal(end)
            assert process.wait(30) == (0 if end == signal.SIGTERM else -end)
        finally:
            process.kill()
            process.wait()
    subprocess.run([*command, "--until-end"], cwd=ROOT, check=True, timeout=120)
    assert stored(url) == expected(events)


def test_the_command(kafka_settings: KafkaSettings, tmp_path: Path):
    url = tmp_path / "history.db"
    publish(kafka_settings, EVENTS)
    done = airsift("history", "record", "--until-end", *arguments(kafka_settings, url))
    assert done.returncode == 0, done.stderr
    assert stored(url) == expected(EVENTS)
    wrong = airsift("history", "--station", "x", "record")
    assert wrong.returncode == 1
    assert "its options come behind its name" in wrong.stderr
