"""Impossible settings are named in one line."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from airsift.errors import BrokerError, ConfigError
from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.producer import Producer
from stream.kafka.client.sink import KafkaSink
from stream.kafka.client.source import KafkaSource
from stream.kafka.client.tail import follow
from stream.kafka.settings import KafkaSettings, SecuritySettings
from stream.runner import Stop


def test_a_message_beyond_the_limit_is_named(kafka_settings: KafkaSettings) -> None:
    topic = kafka_settings.topics.gaps
    ensure_topics(kafka_settings, [topic])
    sender = Producer(kafka_settings)
    with pytest.raises(BrokerError, match=f"20000000 bytes cannot be sent to topic {topic}"):
        sender.send(topic, b"k", bytes(20_000_000), [])
    sender.close()


def test_no_broker_is_one_line(kafka_settings: KafkaSettings) -> None:
    nowhere = kafka_settings.model_copy(
        update={"bootstrap_servers": "127.0.0.1:9", "connect_timeout_s": 0.5}
    )
    for part in (partial(KafkaSource, rate=16_000), KafkaSink):
        with pytest.raises(
            BrokerError, match=r"no Kafka broker answers at 127\.0\.0\.1:9"
        ) as caught:
            part(nowhere)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ({"bootstrap_servers": "localhost"}, "'localhost' has no port; write host:port"),
        (
            {"security": SecuritySettings.default(protocol="SSL", ca_file="/nowhere.pem")},
            "kafka.security.ca_file='/nowhere.pem'",
        ),
    ],
)
def test_settings_that_cannot_work_are_named(
    kafka_settings: KafkaSettings, change: dict[str, Any], pattern: str
) -> None:
    with pytest.raises(ConfigError, match=pattern):
        KafkaSink(kafka_settings.model_copy(update=change))


def test_a_login_needs_a_name() -> None:
    with pytest.raises(ValueError, match="protocol=SASL_SSL needs a username"):
        SecuritySettings.default(protocol="SASL_SSL")


def test_secrets_are_not_printed() -> None:
    security = SecuritySettings.default(protocol="SASL_SSL", username="me", password="hush")
    assert "hush" not in repr(security)
    assert "hush" not in security.model_dump_json()


def test_a_topic_that_is_not_there_is_named(kafka_settings: KafkaSettings) -> None:
    with pytest.raises(BrokerError, match=r"has no topic test\.nothing"):
        next(follow(kafka_settings, ["test.nothing"], stop=Stop()))
