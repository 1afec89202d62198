"""Topics that are deleted, made anew or given partitions under running workers."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import NewTopic

from stream.kafka.apache_broker import ApacheKafka
from stream.kafka.client.connect import connect_consumer, ensure_topics
from stream.kafka.loopback import free_ports
from stream.kafka.settings import KafkaSettings
from tests.integration.live import OnAir, Worker
from tests.integration.road import DRIVERS, make_environment
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.long,
    pytest.mark.kafka,
    pytest.mark.parametrize("driver", DRIVERS),
]

PARTITIONS = 2
STATIONS = [f"station {n}" for n in range(8)]


@pytest.fixture
def cluster(need_kafka):
    # Whoever asks for a topic in the wrong way makes it.
    with ApacheKafka(properties={"auto.create.topics.enable": "true"}) as broker:
        cluster = Cluster(broker)
        yield cluster
        cluster.admin.close()


class Cluster:
    def __init__(self, broker):
        self.broker = broker
        self.settings = KafkaSettings.default(bootstrap_servers=broker.bootstrap_servers)
        self.topics = self.settings.topics.model_copy(update={"partitions": PARTITIONS})
        made = self.settings.model_copy(update={"topics": self.topics})
        names = [self.topics.audio, self.topics.dead_letters, *self.topics.events.values()]
        ensure_topics(made, [*names, self.topics.state])
        self.admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)

    def make(self, name):
        self.admin.create_topics([NewTopic(name, PARTITIONS, 1)])

    def wait_until_gone(self, name):
        wait_until(lambda: name not in self.admin.list_topics())


class ReadyWorker(Worker):
    """A worker and its /readyz."""

    def __init__(self, driver, cluster, port=0):
        self.port = port
        environment = make_environment(cluster.broker, PARTITIONS)
        environment["AIRSIFT_KAFKA__METADATA_MAX_AGE_S"] = "3"
        super().__init__(driver, environment, "--set", f"watch.port={port}")

    def trouble(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as page:
                return json.loads(page.read())["trouble"]
        except urllib.error.HTTPError as refused:
            return json.loads(refused.read())["trouble"]


@contextmanager
def members(driver, cluster, *ports):
    begun = [ReadyWorker(driver, cluster, port) for port in ports]
    try:
        yield begun
        for each in begun:
            each.end()
    except BaseException:
        print(*(line for each in begun for line in each.lines))
        raise
    finally:
        for each in begun:
            each.process.kill()


class Events:
    """Reads the events of a topic as they come."""

    def __init__(self, cluster, topic):
        self._consumer = connect_consumer(cluster.settings)
        self._consumer.assign([TopicPartition(topic, p) for p in range(PARTITIONS)])
        self.events = []

    def read_until(self, enough, timeout_s=120):
        deadline = time.monotonic() + timeout_s
        while not enough(self.events):
            assert time.monotonic() < deadline, f"after {len(self.events)} events still not enough"
            for records in self._consumer.poll(timeout_ms=300).values():
                self.events += [json.loads(record.value) for record in records]
        return self.events

    def close(self):
        self._consumer.close()


def reach(second):
    """Every station has a decision of after a second."""
    return lambda events: {e["station"] for e in events if e["end_s"] > second} == set(STATIONS)


@pytest.mark.parametrize("away_s", [0, 8])
def test_audio_that_is_deleted_and_made_anew(driver, away_s, cluster):
    audio = cluster.topics.audio
    # The old topic's offsets are far beyond those of the new one.
    with (
        OnAir(cluster.settings, STATIONS, before_s=240),
        members(driver, cluster, *free_ports(1)) as [member],
    ):
        decisions = Events(cluster, cluster.topics.decisions)
        decisions.read_until(reach(time.time() - 5))
        cluster.admin.delete_topics([audio])
        cluster.wait_until_gone(audio)
        if away_s:
            member.wait_for(f"not ready: topic {audio} is gone")
            assert f"topic {audio} is gone" in member.trouble()
            time.sleep(away_s)
            assert audio not in cluster.admin.list_topics()
        cluster.make(audio)
        made = time.time()
        member.wait_for(f"topic {audio} was deleted and made anew")
        decisions.read_until(reach(made + 10))
        decisions.close()
        if away_s:  # else the producer may have sent everything once more
            gaps = Events(cluster, cluster.topics.gaps)
            gaps.read_until(lambda events: {e["station"] for e in events} == set(STATIONS))
            gaps.close()
        assert member.trouble() == ""


def test_an_output_that_is_deleted_is_named(driver, cluster):
    gone = cluster.topics.segments
    with (
        OnAir(cluster.settings, STATIONS),
        members(driver, cluster, *free_ports(1)) as [member],
    ):
        decisions = Events(cluster, cluster.topics.decisions)
        decisions.read_until(reach(time.time()))
        decisions.close()
        cluster.admin.delete_topics([gone])
        member.wait_for(f"not ready: topic {gone} is gone", timeout_s=20)
        assert f"topic {gone} is gone" in member.trouble()
        time.sleep(5)
        assert gone not in cluster.admin.list_topics()


@pytest.mark.parametrize("count", [1, 2])
def test_partitions_that_are_added_lose_nothing(driver, count, cluster):
    with (
        OnAir(cluster.settings, STATIONS),
        members(driver, cluster, *free_ports(count)) as begun,
    ):
        decisions = Events(cluster, cluster.topics.decisions)
        decisions.read_until(reach(time.time() + 5))
        cluster.admin.create_partitions({cluster.topics.audio: 5})
        grown = time.time()
        for member in begun:
            member.wait_for(f"topic {cluster.topics.audio} has 5 partitions instead of 2")
        decisions.read_until(reach(grown + 30))
        events = decisions.events
        decisions.close()
    for station in STATIONS:
        ends = sorted({e["end_s"] for e in events if e["station"] == station and e["final"]})
        assert ends == [ends[0] + n for n in range(len(ends))], station
    gaps = Events(cluster, cluster.topics.gaps)
    time.sleep(2)
    assert gaps.read_until(lambda events: True) == []
    gaps.close()
    segments = Events(cluster, cluster.topics.segments)
    segments.read_until(lambda events: {e["station"] for e in events} == set(STATIONS))
    # The same sound all the time: one segment, that of the old partition.
    assert len({e["id"] for e in segments.events}) == len(STATIONS)
    segments.close()
