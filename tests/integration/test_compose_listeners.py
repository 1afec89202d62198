"""Apache Kafka with compose.yaml's listeners advertises a reachable address to each client.

There is no container engine here: names and ports of the containers stand for loopback ports.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from stream.kafka.apache_broker import ApacheKafka
from stream.kafka.loopback import free_ports

ROOT = Path(__file__).parents[2]


@pytest.mark.usefixtures("need_kafka")
def test_each_listener_advertises_itself() -> None:
    kafka = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["kafka"]
    text = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): re.sub(
            r"\$\{\w+:-([^}]*)\}", r"\1", value
        )
        for name, value in kafka["environment"].items()
    }
    inside, host, controller = free_ports(3)
    for name in ("listeners", "advertised.listeners", "controller.quorum.voters"):
        for old, new in (
            ("kafka:9092", f"127.0.0.1:{inside}"), ("//:9092", f"//127.0.0.1:{inside}"),
            ("127.0.0.1:9092", f"127.0.0.1:{host}"), ("//:29092", f"//127.0.0.1:{host}"),
            ("kafka:9093", f"127.0.0.1:{controller}"), ("//:9093", f"//127.0.0.1:{controller}"),
        ):  # fmt: skip
            text[name] = text[name].replace(old, new)
    for name in ("log.dirs", "heap.opts"):
        del text[name]
    text["controller.quorum.voters"] = text["controller.quorum.voters"].replace("1@", "0@")
    text["node.id"] = "0"
    with ApacheKafka(properties=text):
        for port in (inside, host):
            admin = KafkaAdminClient(bootstrap_servers=[f"127.0.0.1:{port}"])
            [broker] = admin.describe_cluster()["brokers"]
            assert (broker["host"], broker["port"]) == ("127.0.0.1", port)
            admin.close()
        admin = KafkaAdminClient(bootstrap_servers=[f"127.0.0.1:{host}"])
        admin.create_topics({"airsift.audio": {"num_partitions": 1, "replication_factor": 1}})
        admin.close()
        producer = KafkaProducer(bootstrap_servers=[f"127.0.0.1:{host}"])
        producer.send("airsift.audio", b"from the host").get(30)
        producer.close()
        consumer = KafkaConsumer(
            "airsift.audio", bootstrap_servers=[f"127.0.0.1:{inside}"], group_id="airsift",
            auto_offset_reset="earliest", consumer_timeout_ms=30_000,
        )  # fmt: skip
        assert next(consumer).value == b"from the host"
        consumer.close()
