"""Apache Kafka as the tests start it: nodes come and go, listeners log users in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from airsift.errors import BrokerError
from stream.kafka import apache_broker
from stream.kafka.apache_broker import ApacheKafka
from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.producer import Producer
from stream.kafka.settings import SecuritySettings
from tests.integration.brokers import settings_of
from tests.integration.road import is_running
from tests.integration.source_reader import read_all
from tests.waiting import wait_until

JAAS = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
HOLDER = """
import time
from stream.kafka.apache_broker import ApacheKafka
with ApacheKafka() as broker:
    print(broker.process.pid, flush=True)
    time.sleep(60)
"""


def send_one(settings, value):
    sender = Producer(settings)
    sender.send(settings.topics.gaps, b"k", value, [])
    sender.flush()
    sender.close()


def values(settings):
    return {record.value for record in read_all(settings, settings.topics.gaps)}


def test_a_node_that_comes_back_has_what_was_sent(apache_cluster, cluster_settings):
    settings = cluster_settings.model_copy(update={"delivery_timeout_s": 60.0})
    ensure_topics(settings, [settings.topics.gaps])
    for node, end in ((0, apache_cluster.stop), (1, apache_cluster.kill)):
        end(node)
        assert len(apache_cluster.pids) == 2
        send_one(settings, b"%d" % node)
        apache_cluster.start(node)
    assert len(apache_cluster.pids) == 3
    assert values(settings) == {b"0", b"1"}


def test_users_log_in_and_have_rights(apache_kafka):
    del apache_kafka  # skipped where there is no Apache Kafka
    properties = {
        "sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.login.scram-sha-256.sasl.jaas.config": JAAS,
        "listener.name.login.scram-sha-512.sasl.jaas.config": JAAS,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:root",
    }
    with ApacheKafka(properties=properties, listeners={"LOGIN": "SASL_PLAINTEXT"}) as broker:
        settings = settings_of(broker)
        ensure_topics(settings, [settings.topics.gaps])
        for name, mechanism in (("root", "SCRAM-SHA-256"), ("bob", "SCRAM-SHA-512")):
            broker.add_scram_user(name, f"{name}'s secret", mechanism)
            security = SecuritySettings.default(
                protocol="SASL_PLAINTEXT",
                sasl_mechanism=mechanism,
                username=name,
                password=f"{name}'s secret",
            )
            servers = broker.servers("LOGIN")
            mine = settings.model_copy(update={"bootstrap_servers": servers, "security": security})
            if name == "root":
                send_one(mine, b"root's")
            else:
                with pytest.raises(BrokerError):
                    send_one(mine, b"bob's")
        assert values(settings) == {b"root's"}


def test_what_was_taken_for_free_is_chosen_again(apache_kafka, monkeypatch):
    taken, real = apache_kafka.port, apache_broker.free_ports
    answers = iter([lambda count: [taken, *real(count - 1)]])
    monkeypatch.setattr(apache_broker, "free_ports", lambda count: next(answers, real)(count))
    with ApacheKafka() as broker:
        assert broker.port != taken
        with KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers) as admin:
            assert admin.list_topics() == []


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_it_dies_with_a_parent_killed(apache_kafka):
    del apache_kafka
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    pid = int(holder.stdout.readline())
    holder.kill()
    holder.wait()
    holder.stdout.close()
    wait_until(lambda: not is_running(pid))


@pytest.mark.parametrize("missing", ["java", "jars"])
def test_a_missing_program_is_reported_with_how_to_get_it(missing, monkeypatch, tmp_path):
    if missing == "java":
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        monkeypatch.setattr(apache_broker.shutil, "which", lambda name: f"/usr/bin/{name}")
        monkeypatch.setattr(apache_broker, "JARS", tmp_path)
    way_out = {"java": "apt-get install default-jre-headless", "jars": "`make kafka` fetches them"}
    with pytest.raises(BrokerError, match=way_out[missing]), ApacheKafka():
        pass


@pytest.mark.parametrize(
    ("options", "outcome"), [([], "skipped=1"), (["--require-kafka"], "errors=1")]
)
def test_without_java_tests_are_skipped_or_fail(options, outcome, tmp_path):
    report = tmp_path / "report.xml"
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options),
            *(f"--junit-xml={report}", f"{__file__}::test_it_dies_with_a_parent_killed"),
        ],
        env={**os.environ, "PATH": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=120,
        check=False,
    )
    text = report.read_text()
    counts = dict(re.findall(r'(errors|failures|skipped)="(\d+)"', text))
    expected = {"errors": "0", "failures": "0", "skipped": "0"}
    expected |= dict([outcome.split("=")])
    assert counts == expected, text
    assert "apt-get install default-jre-headless" in text
