"""A member of a group that polls often, and seldom long enough for an answer."""

from __future__ import annotations

import time
from contextlib import closing

from kafka import KafkaAdminClient, TopicPartition

from stream.kafka.client.connect import connect_consumer, ensure_topics

_WAIT_S = 20.0  # a hang is for ever


def test_a_member_whose_topic_grows_while_it_joins_has_all_partitions(apache_settings):
    """The leader assigns what came meanwhile, and the poll that asked for it is over by then."""
    topic = apache_settings.topics.audio
    ensure_topics(apache_settings, [topic])
    options = {"group_id": apache_settings.group, "metadata_max_age_ms": 50}
    admin = KafkaAdminClient(bootstrap_servers=apache_settings.bootstrap_servers.split(","))
    with closing(admin), closing(connect_consumer(apache_settings, **options)) as consumer:
        consumer.subscribe([topic])
        for count in range(3, 10):
            if count > 3:
                admin.create_partitions({topic: count})
            deadline = time.monotonic() + _WAIT_S
            wanted = {TopicPartition(topic, number) for number in range(count)}
            while consumer.assignment() != wanted:
                assert time.monotonic() < deadline, (count, consumer.assignment())
                consumer.poll(timeout_ms=1)
