"""A missing right is one line in both drivers: operation, resource and principal."""

from __future__ import annotations

import itertools
import subprocess
import threading

import pytest
from kafka import TopicPartition
from kafka.admin import ACLFilter, ACLOperation, ACLPermissionType, NewTopic, ResourcePatternFilter
from kafka.admin import ACLResourcePatternType as Pattern

from airsift import config
from airsift.connect import event_kinds
from airsift.errors import BrokerError
from stream.kafka.client.connect import connect_consumer
from stream.kafka.client.sink import KafkaSink
from stream.kafka.client.source import KafkaSource
from stream.kafka.client.transactions import Transactions
from stream.kafka.faust.worker import prepare_topics
from stream.kafka.settings import KafkaSettings, TopicSettings
from tests.integration.brokers import TOPICS
from tests.integration.guarded import KINDS, SECRET, USER, as_acl, guarded, login, operator
from tests.integration.live import OnAir
from tests.integration.road import AIRSIFT, DRIVERS, end, make_environment
from tests.waiting import wait_until

pytestmark = pytest.mark.kafka

# docs/operating.md, "Security": what a worker may do, and no more.
RIGHTS = [
    ("topic", "audio", "READ"),
    *(("topic", name, "WRITE") for name in TOPICS[1:]),
    ("topic", "state", "READ"),
    ("group", "group", "READ"),
]
ONCE = [
    ("transactional-id", "id", "WRITE"),
    ("topic", "probe", "READ"),
    ("topic", "probe", "WRITE"),
]
_numbers = itertools.count()


@pytest.fixture(scope="module")
def broker(need_kafka):
    with guarded() as broker:
        yield broker


class Place:
    """Topics and a group of their own, and what a user may do there."""

    def __init__(self, broker):
        n = next(_numbers)
        self.broker = broker
        self.names = {name: f"r{n}.{name.replace('_', '-')}" for name in TOPICS}
        self.resources = self.names | {
            "probe": f"{self.names['state']}.probe",
            "group": f"r{n}",
            "id": f"id{n}",
        }
        self.topics = TopicSettings.default(**self.names, partitions=1)
        self.admin = operator(broker)

    def make(self, without=()):
        made = {*self.names.values(), self.resources["probe"]} - set(without)
        self.admin.create_topics([NewTopic(name, 1, 1) for name in sorted(made)])

    def grant(self, rights):
        acls = [as_acl((kind, self.resources[name], what)) for kind, name, what in rights]
        assert not self.admin.create_acls(acls)["failed"]
        wait_until(lambda: all(self.admin.describe_acls(each)[0] for each in acls))

    def take_away(self, right):
        kind, name, what = right
        pattern = ResourcePatternFilter(KINDS[kind], self.resources[name], Pattern.LITERAL)
        self.admin.delete_acls(
            [ACLFilter(f"User:{USER}", "*", ACLOperation[what], ACLPermissionType.ALLOW, pattern)]
        )

    @property
    def environment(self):
        security = login().model_dump() | {"password": SECRET}
        keys = {f"TOPICS__{name}": topic for name, topic in self.names.items()}
        keys |= {f"SECURITY__{key}": security[key] for key in ("protocol", "username", "password")}
        keys |= {"GROUP": self.resources["group"]}
        return make_environment(self.broker, 1) | {
            f"AIRSIFT_KAFKA__{key.upper()}": value for key, value in keys.items()
        }

    def settings(self, name):
        return KafkaSettings.default(
            bootstrap_servers=self.broker.bootstrap_servers,
            topics=self.topics,
            group=self.resources["group"],
            security=login(name),
        )


@pytest.fixture
def place(broker):
    place = Place(broker)
    yield place
    place.admin.close()


def start(driver, environment, *options):
    return subprocess.Popen(
        [*AIRSIFT, *DRIVERS[driver], *options],
        env=environment | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def last_line(process) -> str:
    """Wait for the end; return its only line, the cause."""
    try:
        printed = process.communicate(timeout=120)[1]
    finally:
        process.kill()
    assert process.returncode == 1, printed
    assert "Traceback" not in printed
    assert "never retrieved" not in printed
    assert SECRET not in printed
    lines = [line for line in printed.splitlines() if line.startswith("airsift: ")]
    assert len(lines) == 1, printed
    assert printed.splitlines()[-1] == lines[0]
    return lines[0]


def expected(place, right) -> str:
    kind, name, what = right
    return f"User:{USER} has no right to {what.title()} on {kind} {place.resources[name]} "


def refuse(opening) -> str:
    """Return the one line with which something is not opened."""
    with pytest.raises(BrokerError) as raised:
        opening()
    line = str(raised.value)
    assert "\n" not in line
    assert SECRET not in line
    return line


def open_as_run(settings) -> None:
    KafkaSource(settings, rate=16_000).close()
    KafkaSink(settings).close()


OPENINGS = {"run": open_as_run, "worker": prepare_topics}


@pytest.mark.parametrize("right", RIGHTS, ids=lambda right: "-".join(right))
@pytest.mark.parametrize("driver", DRIVERS)
def test_each_right_is_named_at_the_start(driver, right, place):
    place.make()
    place.grant([each for each in RIGHTS if each != right])
    line = refuse(lambda: OPENINGS[driver](place.settings(USER)))
    assert expected(place, right) in line
    place.grant([right])
    OPENINGS[driver](place.settings(USER))


@pytest.mark.parametrize("driver", DRIVERS)
def test_rights_on_topics_of_unused_kinds_are_not_needed(driver, place):
    """Without a catalogue, repeats.folder and levels.enabled nothing writes their topics."""
    unused = {("topic", name, "WRITE") for name in ("shares", "repeats", "levels", "alarms")}
    place.make(without=[place.names[name] for name in ("shares", "repeats", "levels", "alarms")])
    place.grant([each for each in RIGHTS if each not in unused])
    settings, kinds = place.settings(USER), event_kinds(config.load(environ={}).config)
    if driver == "worker":
        prepare_topics(settings, kinds)
    else:
        KafkaSink(settings, kinds=kinds).close()


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_command_prints_the_line_and_exits_with_1(driver, place):
    place.make()
    right = ("group", "group", "READ")
    place.grant([each for each in RIGHTS if each != right])
    assert expected(place, right) in last_line(start(driver, place.environment))


@pytest.mark.parametrize("right", ONCE, ids=lambda right: "-".join(right))
def test_each_right_of_exactly_once_is_named(right, place):
    place.make()
    place.grant([each for each in RIGHTS + ONCE if each != right])
    once = {"exactly_once": True, "transactional_id": place.resources["id"]}
    settings = place.settings(USER).model_copy(update=once)
    assert expected(place, right) in refuse(lambda: Transactions(settings))
    place.grant([right])
    Transactions(settings).close()


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("name", ["audio", "segments", "state"])
def test_a_topic_that_cannot_be_created_is_named(driver, name, place):
    place.make(without=[place.names[name]])
    place.grant(RIGHTS)
    line = refuse(lambda: OPENINGS[driver](place.settings(USER)))
    assert f"no right to Create on topic {place.names[name]} " in line
    place.grant([("topic", name, "CREATE")])
    OPENINGS[driver](place.settings(USER))
    assert place.names[name] in place.admin.list_topics()


def test_all_that_is_missing_is_in_the_line(place):
    place.make()
    line = refuse(lambda: prepare_topics(place.settings(USER)))
    for right in RIGHTS:
        if right[1] != "state":
            assert f"{right[2].title()} on {right[0]} {place.resources[right[1]]}" in line


@pytest.mark.long
@pytest.mark.long
@pytest.mark.parametrize(
    "right",
    [
        ("topic", "audio", "READ"),
        ("topic", "decisions", "WRITE"),
        ("topic", "state", "WRITE"),
        ("group", "group", "READ"),
    ],
    ids=lambda right: "-".join(right),
)
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_right_that_is_taken_away_while_it_runs(driver, right, place):
    place.make()
    place.grant(RIGHTS)
    with OnAir(place.settings("operator"), ["a", "b"]):
        process = start(driver, place.environment)
        wait_for_decisions(place.settings("operator"))
        place.take_away(right)
        if right[2] == "READ":
            assert expected(place, right) in last_line(process)
            return
        # What cannot be written is counted and logged, and the worker goes on.
        wanted = f"User:{USER} has no right to Write on topic {place.resources[right[1]]};"
        read_until(process, wanted)
        assert end(process) == 0


def read_until(process, wanted):
    watchdog = threading.Timer(90, process.kill)
    watchdog.start()
    lines = []
    try:
        for line in process.stderr:
            lines.append(line)
            if wanted in line:
                return
    finally:
        watchdog.cancel()
    pytest.fail("".join(lines))


def wait_for_decisions(settings):
    consumer = connect_consumer(settings)
    try:
        consumer.assign([TopicPartition(settings.topics.decisions, 0)])
        wait_until(lambda: consumer.poll(timeout_ms=500))
    finally:
        consumer.close()
