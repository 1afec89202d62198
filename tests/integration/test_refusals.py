"""Messages that Apache Kafka refuses end no worker, in either driver."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ConfigResource,
    ResourcePattern,
    ResourceType,
)

from stream.events import Decision, Event, Gap
from stream.kafka.apache_broker import ApacheKafka
from stream.kafka.client import limits as limits_module
from stream.kafka.client.connect import (
    connect_admin,
    connect_consumer,
    connect_producer,
    ensure_topics,
)
from stream.kafka.client.dead_letters import DeadLetterProducer
from stream.kafka.client.producer import Producer
from stream.kafka.client.refusals import Refusals
from stream.kafka.client.sink import KafkaSink
from stream.kafka.client.transactions import Transactions
from stream.kafka.loopback import free_ports
from stream.kafka.records.consumer_record import Received
from stream.kafka.settings import KafkaSettings
from stream.testing import noise
from tests.integration.brokers import settings_of
from tests.integration.road import AIRSIFT, DRIVERS
from tests.integration.source_reader import RATE, SourceReader, read_all, send
from tests.stream.doubles import snapshot
from tests.waiting import wait_until

LIMIT = 1_048_588  # Apache Kafka's max.message.bytes


@pytest.fixture
def settings(apache_kafka: ApacheKafka) -> KafkaSettings:
    return made_for(apache_kafka)


def made_for(broker: ApacheKafka) -> KafkaSettings:
    base = settings_of(broker)
    one = base.topics.model_copy(update={"partitions": 1})
    return base.model_copy(update={"topics": one, "session_timeout_s": 6.0})


@pytest.fixture(params=["reported", "learned"])
def knowledge(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether limits come from the broker's settings or from refusals."""
    if request.param == "learned":
        monkeypatch.setattr(limits_module, "query_broker", lambda settings, topics: {})
    return str(request.param)


def make(settings: KafkaSettings, topic: str, **configs: object) -> None:
    named = {key.replace("_", "."): str(value) for key, value in configs.items()}
    ensure_topics(settings, [topic], configs=named)


def decisions(count: int) -> list[Event]:
    return [Decision("a", k * RATE, (k + 5) * RATE, RATE, 1.5, 0.9, 0.1) for k in range(count)]


def gap(letters: int = 5) -> Event:
    return Gap("a", 80000, 96000, RATE, None, "m" * letters)


@pytest.mark.parametrize(
    "configs",
    [
        {"max_message_bytes": 250},
        {"message_timestamp_before_max_ms": 1},
        {"cleanup_policy": "delete", "max_message_bytes": 120},
    ],
    ids=["long", "old", "nothing fits"],
)
def test_events_that_are_refused_are_counted_and_the_others_published(
    settings: KafkaSettings, knowledge: str, configs: dict[str, Any]
) -> None:
    topics = settings.topics
    make(settings, topics.decisions, **configs)
    # A message that comes within its millisecond is not older than that: these wait, and so are.
    with closing(KafkaSink(settings.model_copy(update={"linger_ms": 1000}))) as sink:
        for _ in range(3):
            sink.write([gap(), *decisions(7), gap()])
            time.sleep(0.01)
            sink.flush()
            assert sink.queued == 0
        refused = sink.refused[topics.decisions]
        assert sink.refused.total() == refused
    published = len(read_all(settings, topics.decisions))
    assert published + refused == 21
    assert refused > 0
    # At least once: those that were in company of what was refused.
    assert len(read_all(settings, topics.gaps)) >= 6


def test_one_old_message_in_a_batch_costs_itself_alone(settings: KafkaSettings) -> None:
    topic = settings.topics.decisions
    make(settings, topic, message_timestamp_before_max_ms=3_600_000)
    refusals = Refusals(settings)
    now_ms = time.time_ns() // 1_000_000
    with closing(Producer(settings, refusals=refusals)) as sender:
        for count in range(4):
            for number in range(5):
                age_ms = 7_200_000 if number == count else 0
                value = b"%d %d" % (count, number)
                sender.send(topic, b"a", value, [], timestamp_ms=now_ms - age_ms)
            sender.flush()
    assert refusals.counts[topic] == 4
    expected = {b"%d %d" % (count, number) for count in range(4) for number in range(5)}
    expected -= {b"%d %d" % (count, count) for count in range(4)}
    assert {record.value for record in read_all(settings, topic)} == expected


def test_one_event_that_is_too_long_costs_itself_alone(
    settings: KafkaSettings, knowledge: str
) -> None:
    topics = settings.topics
    make(settings, topics.gaps, max_message_bytes=2000)
    with closing(KafkaSink(settings)) as sink:
        for long in (1500, 3000, 20_000, 1600):
            sink.write([gap(3), gap(long), gap(4), *decisions(3)])
            sink.flush()
        assert sink.refused == {**dict.fromkeys(sink.refused, 0), topics.gaps: 2}
    lengths = {len(record.value) for record in read_all(settings, topics.gaps)}
    assert len(lengths) == 4
    assert max(lengths) < 2000
    assert len({r.value for r in read_all(settings, topics.decisions)}) == 3


def letter(value: bytes | None, key: bytes | None = b"a", headers: Any = (), at: int = 0) -> Any:
    return Received("audio", 0, at, 0, key, value, list(headers))


HUGE = [("h" * 10, bytes(1000))] * 1500
HOSTILE = {
    "within 100 bytes of the limit": letter(os.urandom(LIMIT - 150)),
    "far over the limit": letter(os.urandom(4 * LIMIT)),
    "zeros that take no room": letter(bytes(2 * LIMIT)),
    "many headers": letter(b"x", headers=HUGE),
    "one long header": letter(b"x", headers=[("content-type", os.urandom(2 * LIMIT))]),
    "a long key": letter(b"x", key=os.urandom(LIMIT)),
    "all of it": letter(os.urandom(LIMIT), key=os.urandom(LIMIT), headers=HUGE),
    "a name that is not UTF-8": letter(b"x", headers=[("\udcff", b"1"), ("", b"")]),
    "nothing": letter(None, key=None),
    "a tombstone": letter(None),
}


@pytest.mark.parametrize("limit", [700, 5000, LIMIT])
def test_undecodable_messages_become_letters_that_fit(
    settings: KafkaSettings, knowledge: str, limit: int
) -> None:
    make(settings, settings.topics.dead_letters, max_message_bytes=limit)
    refusals = Refusals(settings)
    dead_letters = DeadLetterProducer(settings, refusals)
    for at, message in enumerate(HOSTILE.values()):
        dead_letters.put(message._replace(offset=at), "a reason " * 200)
    dead_letters.flush()
    dead_letters.close()
    letters = read_all(settings, settings.topics.dead_letters)
    reported = {int(dict(r.headers)["airsift-kafka-offset"]): r for r in letters}
    assert sorted(reported) == list(range(len(HOSTILE)))
    assert refusals.counts.total() == 0
    for at, (name, message) in enumerate(HOSTILE.items()):
        value, headers = reported[at].value, dict(reported[at].headers)
        whole = message.value or (None if message.key else b"")
        cut = headers.get("airsift-truncated", b"").decode()
        if value is not None:
            assert whole is not None
            assert whole.startswith(value)
        if value != whole:
            assert f"value {len(value or b'')} of {len(whole or b'')}" in cut, name
        theirs = [each for each in reported[at].headers if not each[0].startswith("airsift-")]
        left = (value, reported[at].key, len(theirs))
        assert bool(cut) == (left != (whole, message.key, len(message.headers))), name
    zeros = list(HOSTILE).index("zeros that take no room")
    if (limit, knowledge) == (LIMIT, "reported"):
        assert reported[zeros].value == bytes(2 * LIMIT)
        near = reported[list(HOSTILE).index("within 100 bytes of the limit")]
        assert len(near.value) > LIMIT - 3000


def test_a_topic_that_takes_no_letter_at_all_costs_letters_alone(
    settings: KafkaSettings, knowledge: str
) -> None:
    make(settings, settings.topics.dead_letters, max_message_bytes=60)
    refusals = Refusals(settings)
    dead_letters = DeadLetterProducer(settings, refusals)
    for at in range(3):
        dead_letters.put(letter(os.urandom(5000), at=at), "no audio")
        dead_letters.flush()
    dead_letters.close()
    assert read_all(settings, settings.topics.dead_letters) == []
    assert refusals.counts[settings.topics.dead_letters] == 3


def committed(settings: KafkaSettings) -> int:
    consumer = KafkaConsumer(bootstrap_servers=settings.bootstrap_servers, group_id=settings.group)
    with closing(consumer):
        return consumer.committed(TopicPartition(settings.topics.audio, 0)) or 0


def test_a_snapshot_that_is_refused_is_withdrawn_and_one_that_is_not_counts_again(
    settings: KafkaSettings, knowledge: str, open_reader: Callable[[KafkaSettings], SourceReader]
) -> None:
    make(settings, settings.topics.state, cleanup_policy="compact", max_message_bytes=1000)
    reader = open_reader(settings)
    known: dict[str, bool] = {}
    for turn, (filling, stored) in enumerate([(10, True), (5000, False), (5000, False), (9, True)]):
        send(settings, "a", noise(2))
        reader.read_until(lambda end=2 * (turn + 1) * RATE: reader.ends().get("a", 0) >= end)
        oldest = 2 * turn * RATE + RATE
        reader.source.checkpoint({"a": snapshot(oldest, filling="x" * filling)})
        known = {}
        for record in read_all(settings, settings.topics.state):
            known[record.key.decode()] = record.value is not None
        assert known == {f"{settings.group}/a": stored}
        # A withdrawn station holds nothing back; what it needs is read again all the same.
        assert committed(settings) >= 4 * turn
    assert reader.source.refused[settings.topics.state] == 2


def test_where_not_even_that_is_taken_nothing_is_committed_that_the_old_record_needs(
    settings: KafkaSettings, open_reader: Callable[[KafkaSettings], SourceReader]
) -> None:
    make(settings, settings.topics.state, message_timestamp_before_max_ms=3_600_000)
    reader = open_reader(settings)
    stored = snapshot(RATE)
    send(settings, "a", noise(2))
    send(settings, "b", noise(2))
    reader.read_until(lambda: reader.ends() == {"a": 2 * RATE, "b": 2 * RATE})
    reader.source.checkpoint({"a": stored, "b": stored})
    before = committed(settings)
    alter(settings, settings.topics.state, "max.message.bytes", "40")
    reader.source._producer._refusals.limits._reported = {}  # the broker's answer has expired
    for turn in range(1, 4):
        send(settings, "a", noise(2))
        reader.read_until(lambda end=2 * (turn + 1) * RATE: reader.ends()["a"] >= end)
        # Of the silent station nothing is refused, and its record needs nothing new.
        reader.source.checkpoint({"a": snapshot(2 * turn * RATE + RATE)})
        assert committed(settings) == before
    alter(settings, settings.topics.state, "max.message.bytes", "100000")
    reader.source._producer._refusals.limits._learned = {}
    reader.source.checkpoint({})
    assert committed(settings) > before


def alter(settings: KafkaSettings, topic: str, name: str, value: str) -> None:
    with closing(connect_admin(settings)) as admin:
        admin.alter_configs([ConfigResource("TOPIC", topic, {name: value})])
    time.sleep(0.5)  # the broker takes it up a little later


@pytest.mark.parametrize(
    "configs", [{"max_message_bytes": 2000}, {"message_timestamp_before_max_ms": 3_600_000}]
)
def test_a_refusal_undoes_a_transaction_once_and_does_not_poison_the_next(
    settings: KafkaSettings,
    knowledge: str,
    configs: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topics = settings.topics
    make(settings, topics.gaps, **configs)
    # This machine's clock is behind. (The broker's own marks must be young enough: 1 ms would
    # hold up its transactions.)
    send = KafkaProducer.send
    monkeypatch.setattr(
        KafkaProducer,
        "send",
        lambda self, *message: send(self, *message[:5], two_hours_ago()),
    )
    ensure_topics(settings, [topics.audio, *topics.events.values()])
    exactly = settings.model_copy(update={"exactly_once": True, "transactional_id": settings.group})
    audio = TopicPartition(topics.audio, 0)
    member = joined(exactly)
    with closing(member), closing(Transactions(exactly)) as transactions:
        sink = KafkaSink(exactly, transactions)
        undone = 0
        for turn in range(4):
            for _ in range(5):
                sink.write([*decisions(2 + turn), gap(3000)])
                sink.flush()
                if transactions.commit({audio: turn}, member.group_metadata()):
                    break
                undone += 1
            else:
                pytest.fail("no transaction was committed")
        assert sink.refused[topics.gaps] >= 4
        assert undone <= 4
    published = read_all(settings, topics.decisions)
    assert len(published) == 2 + 3 + 4 + 5
    assert read_all(settings, topics.gaps) == []


def two_hours_ago() -> int:
    return round((time.time() - 7200) * 1000)


def joined(settings: KafkaSettings) -> KafkaConsumer:
    consumer = connect_consumer(
        settings,
        group_id=settings.group,
        metadata_max_age_ms=500,  # the topic is new
    )
    consumer.subscribe([settings.topics.audio])
    deadline = time.monotonic() + 120
    while not consumer.assignment():
        assert time.monotonic() < deadline
        consumer.poll(timeout_ms=200)
    return consumer


@pytest.mark.parametrize("driver", [*DRIVERS, "exactly once"])
def test_a_worker_goes_on_after_every_refusal(
    settings: KafkaSettings, driver: str, tmp_path: Path
) -> None:
    """Letters at the limit; decisions are refused for their age, snapshots for their length.

    Segments and the offsets go on.
    """
    topics = settings.topics
    # The broker's own marks of a transaction would be too old as well.
    exactly = driver == "exactly once"
    configs = {"max_message_bytes": 250} if exactly else {"message_timestamp_before_max_ms": 1}
    make(settings, topics.decisions, **configs)
    make(settings, topics.state, cleanup_policy="compact", max_message_bytes=500)
    ensure_topics(settings, [topics.audio, topics.dead_letters])
    hostile(settings)
    for turn in range(12):
        send(settings, "b", noise(2, seed=turn))
    log = works_until(
        settings,
        driver,
        tmp_path,
        lambda refused: (
            refused(topics.decisions) >= 5
            and refused(topics.state) >= 1
            and len(read_all(settings, topics.dead_letters)) >= 2
            and bool(read_all(settings, topics.segments))
            and committed(settings) >= 20
        ),
    )
    why = "as longer than its max" if exactly else "for its timestamp"
    assert f"topic {topics.decisions} refuses a message {why}" in log
    assert f"topic {topics.state} refuses a message as longer than its max.message.bytes" in log
    assert "its snapshot is refused: after a restart it begins anew" in log


# Everybody may do everything with a topic that has no rules.
_RULES = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}


@pytest.mark.parametrize("driver", [*DRIVERS, "exactly once"])
def test_a_worker_that_loses_a_right_goes_on_with_what_it_may_write(
    apache_kafka: ApacheKafka, driver: str, tmp_path: Path
) -> None:
    with ApacheKafka(properties=_RULES) as broker:
        settings = made_for(broker)
        topics = settings.topics
        ensure_topics(settings, [topics.audio, topics.dead_letters, *topics.events.values()])

        def take_rights_away() -> None:
            with closing(connect_admin(settings)) as admin:
                admin.create_acls(
                    [
                        ACL(
                            "User:ANONYMOUS",
                            "*",
                            operation,
                            permission,
                            ResourcePattern(kind, name),
                        )
                        for name in (topics.decisions, topics.dead_letters)
                        for kind, operation, permission in (
                            (ResourceType.TOPIC, ACLOperation.ALL, ACLPermissionType.ALLOW),
                            (ResourceType.TOPIC, ACLOperation.WRITE, ACLPermissionType.DENY),
                        )
                    ]
                )
            hostile(settings)
            for turn in range(12):
                send(settings, "b", noise(2, seed=turn))

        log = works_until(
            settings,
            driver,
            tmp_path,
            lambda refused: (
                refused(topics.decisions) >= 5
                and refused(topics.dead_letters) >= 2
                and bool(read_all(settings, topics.segments))
                and committed(settings) >= 20
            ),
            once_ready=take_rights_away,
        )
    # Of lines of one kind the first is written; those for the other topic are counted.
    reported = [f"no right to Write on topic {t}" for t in (topics.decisions, topics.dead_letters)]
    assert any(line in log for line in reported), log
    assert "never retrieved" not in log


def works_until(
    settings: KafkaSettings,
    driver: str,
    folder: Path,
    enough: Callable[[Callable[[str], float]], bool],
    once_ready: Callable[[], None] | None = None,
) -> str:
    """Run a worker until it has done enough; return its log."""
    [port] = free_ports(1)
    path = folder / "log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            [*AIRSIFT, *DRIVERS.get(driver, DRIVERS["run"])],
            env=environment(settings, port, exactly_once=driver == "exactly once"),
            stderr=log,
        )
    try:
        if once_ready is not None:
            wait_until(lambda: is_ready(port), process=process, why=path.read_text)
            once_ready()
        wait_until(
            lambda: enough(partial(refused_of, metrics(port))),
            process=process,
            why=path.read_text,
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, path.read_text()
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in path.read_text()
    return path.read_text()


def refused_of(figures: dict[str, float], topic: str) -> float:
    return figures.get(f'airsift_refused_total{{topic="{topic}"}}', 0.0)


def hostile(settings: KafkaSettings) -> None:
    """Send what does not decode and is as long as the topic takes."""
    topic, flac = settings.topics.audio, [("content-type", b"audio/flac")]
    plain = connect_producer(settings)
    plain.send(topic, os.urandom(LIMIT - 150), b"a", flac).get(20)
    plain.close()
    squeezed = connect_producer(settings, compression_type="gzip")
    squeezed.send(topic, bytes(2 * 1024 * 1024), b"a", flac).get(20)
    squeezed.close()


def environment(settings: KafkaSettings, port: int, *, exactly_once: bool) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AIRSIFT_")}
    topics = settings.topics.model_dump()
    named = {f"AIRSIFT_KAFKA__TOPICS__{k.upper()}": str(v) for k, v in topics.items()}
    return {
        **clean,
        **named,
        "AIRSIFT_KAFKA__BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "AIRSIFT_KAFKA__GROUP": settings.group,
        "AIRSIFT_KAFKA__SESSION_TIMEOUT_S": "6",
        "AIRSIFT_KAFKA__EXACTLY_ONCE": str(exactly_once).lower(),
        "AIRSIFT_RUN__CHECKPOINT_S": "0.5",
        "AIRSIFT_WATCH__PORT": str(port),
    }


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except OSError:
        return False


def metrics(port: int) -> dict[str, float]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return {}
    rows = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in rows}
