"""A broker that delays its clients without an error: quotas and missing replicas."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import closing, contextmanager

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from stream.kafka.apache_broker import JARS, ApacheKafka
from stream.kafka.settings import KafkaSettings
from tests.integration.live import Decisions, OnAir, Worker
from tests.integration.road import DRIVERS, make_environment

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.parametrize("driver", DRIVERS)]

STATIONS = [f"station {n}" for n in range(8)]
PARTITIONS = 2


def new_topic(name, nodes):
    """Return a topic without replicas, or one whose partitions have theirs on the given nodes."""
    if nodes is None:
        return NewTopic(name, PARTITIONS, 1)
    return NewTopic(name, replica_assignments=dict(enumerate(nodes)))


@contextmanager
def scene(broker, driver, *, events_on=None, before_s=0.0):
    """Run a driver on a cluster with stations on the air; give it, and its decisions."""
    settings = KafkaSettings.default(bootstrap_servers=broker.bootstrap_servers)
    named = settings.topics
    others = (named.audio, named.dead_letters, named.state)
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    spread = [new_topic(name, events_on) for name in named.events.values()]
    unchanged = [new_topic(name, events_on and [[0, 1], [1, 0]]) for name in others]
    admin.create_topics([*spread, *unchanged])
    admin.close()
    decisions = Decisions(settings, STATIONS, PARTITIONS)
    with OnAir(settings, STATIONS, before_s=before_s) as air, closing(decisions):
        worker = Worker(driver, make_environment(broker, PARTITIONS))
        try:
            yield worker, decisions
            assert all(air.sent.values())
            worker.end()
        except BaseException:
            print(*worker.lines)
            raise
        finally:
            worker.process.kill()


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
        with scene(broker, driver, before_s=60) as (worker, decisions):
            begun = time.time() - 60
            decisions.read_until(begun + 30)
            worker.wait_for("a quota of the Kafka broker slows this client down")
            decisions.read_until(time.time() - 20)
        decisions.check()
        assert sum("a quota of the Kafka broker" in line for line in worker.lines) <= 3


def test_too_few_replicas_are_one_line_and_nothing_is_lost(driver, need_kafka):
    # Two of three brokers hold the quorum and the audio. The third leads one partition of each
    # event topic and has a replica of the other, and two replicas must be in sync.
    quick = {"replica.lag.time.max.ms": "2000"}
    with (
        ApacheKafka(nodes=3, properties=quick) as cluster,
        scene(cluster, driver, events_on=[[2, 0], [0, 2]]) as (worker, decisions),
    ):
        decisions.read_until(time.time())
        cluster.freeze(2)
        worker.wait_for("fewer replicas in sync than min.insync.replicas")
        cluster.thaw(2)
        worker.wait_for("ready again")
        decisions.read_until(time.time() + 10)
    decisions.check()
