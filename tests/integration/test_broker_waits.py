"""A broker that refuses nothing and has its clients wait: quotas, and replicas that are missing."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time

import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import NewTopic

from stream.kafka.apache_broker import JARS, ApacheKafka
from stream.kafka.client.connect import connect_consumer
from stream.kafka.settings import KafkaSettings
from tests.integration.live import OnAir
from tests.integration.road import AIRSIFT, DRIVERS, end, make_environment

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.parametrize("driver", DRIVERS)]

STATIONS = [f"station {n}" for n in range(8)]
PARTITIONS = 2


def new_topic(name, nodes):
    """Return a topic without replicas, or one whose partitions have theirs on the given nodes."""
    if nodes is None:
        return NewTopic(name, PARTITIONS, 1)
    return NewTopic(name, replica_assignments=dict(enumerate(nodes)))


class Scene:
    """A driver on a cluster, and what comes of it."""

    def __init__(self, broker, driver, events_on=None):
        self.settings = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        self.topics = self.settings.topics
        admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
        named = self.topics
        others = (named.audio, named.dead_letters, named.state)
        spread = [new_topic(name, events_on) for name in named.events.values()]
        kept = [new_topic(name, events_on and [[0, 1], [1, 0]]) for name in others]
        admin.create_topics([*spread, *kept])
        admin.close()
        self._environment = make_environment(broker, PARTITIONS) | {"OMP_NUM_THREADS": "1"}
        self._driver = driver
        self.lines = []
        self.consumer = connect_consumer(self.settings, client_id="subscriber")
        kinds = (named.decisions, named.gaps)
        self.consumer.assign([TopicPartition(n, p) for n in kinds for p in range(PARTITIONS)])
        self.ends, self.gaps = {station: set() for station in STATIONS}, []

    def __enter__(self):
        self.process = subprocess.Popen(
            [*AIRSIFT, *DRIVERS[self._driver]],
            env=self._environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)

    def __exit__(self, kind, *_):
        self.consumer.close()
        if kind is None:
            assert end(self.process) == 0, "".join(self.lines)
        else:
            self.process.kill()
            print(*self.lines)

    def read_until(self, second, timeout_s=150):
        deadline = time.monotonic() + timeout_s
        while not all(ends and max(ends) > second for ends in self.ends.values()):
            assert time.monotonic() < deadline, {s: max(e, default=0) for s, e in self.ends.items()}
            for tp, records in self.consumer.poll(timeout_ms=300).items():
                events = [json.loads(record.value) for record in records]
                if tp.topic == self.topics.gaps:
                    self.gaps += events
                else:
                    for event in events:
                        self.ends[event["station"]].add(event["end_s"])

    def wait_for(self, words, timeout_s=60):
        deadline = time.monotonic() + timeout_s
        while not any(words in line for line in self.lines):
            assert time.monotonic() < deadline, "".join(self.lines)
            assert self.process.poll() is None, "".join(self.lines)
            time.sleep(0.2)

    def check(self):
        """Nothing is missing."""
        assert self.gaps == []
        for station, ends in self.ends.items():
            assert sorted(ends) == [min(ends) + n for n in range(len(ends))], station


def set_quota(broker, client, **limits):
    """Limit the bytes a second of clients of a name; Kafka's own tool does it."""
    java = shutil.which("java")
    added = ",".join(f"{key}={value}" for key, value in limits.items())
    command = [java, "-cp", str(JARS / "*"), "kafka.admin.ConfigCommand"]
    command += ["--bootstrap-server", broker.bootstrap_servers, "--alter", "--add-config", added]
    command += ["--entity-type", "clients", "--entity-name", client]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("limit", ["consumer_byte_rate", "producer_byte_rate"])
def test_a_quota_is_one_line_and_loses_nothing(driver, limit, need_kafka):
    with ApacheKafka() as broker:
        rates = {"consumer_byte_rate": 600_000, "producer_byte_rate": 30_000}
        set_quota(broker, "airsift", **{limit: rates[limit]})
        scene = Scene(broker, driver)
        with OnAir(scene.settings, STATIONS, before_s=60) as air, scene:
            begun = time.time() - 60
            scene.read_until(begun + 30)
            scene.wait_for("a quota of the Kafka broker slows this client down")
            scene.read_until(time.time() - 20)
            assert all(air.sent.values())
        scene.check()
        assert sum("a quota of the Kafka broker" in line for line in scene.lines) <= 3


def test_too_few_replicas_are_one_line_and_nothing_is_lost(driver, need_kafka):
    # Two of three brokers hold the quorum and the audio. The third leads one partition of each
    # event topic and has a replica of the other, and two replicas must be in sync.
    quick = {"replica.lag.time.max.ms": "2000"}
    with ApacheKafka(nodes=3, properties=quick) as cluster:
        scene = Scene(cluster, driver, events_on=[[2, 0], [0, 2]])
        with OnAir(scene.settings, STATIONS) as air, scene:
            scene.read_until(time.time())
            cluster.freeze(2)
            scene.wait_for("fewer replicas in sync than min.insync.replicas")
            cluster.thaw(2)
            scene.wait_for("ready again")
            back = time.time()
            scene.read_until(back + 10)
            assert all(air.sent.values())
