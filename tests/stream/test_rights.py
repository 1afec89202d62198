from __future__ import annotations

import pytest
from aiokafka import errors as of_aiokafka
from kafka import errors as of_kafka_python

from stream.kafka.client.rights import Right, missing_rights, principal, refusal, refused
from stream.kafka.settings import KafkaSettings, SecuritySettings

LOGIN = SecuritySettings.default(protocol="SASL_SSL", username="bob", password="x")
SETTINGS = KafkaSettings.default(group="g", transactional_id="w-1", security=LOGIN)


class Admin:
    """A broker's answers."""

    def __init__(self, topics, group=None):
        self.topics, self.group = topics, group

    def describe_topics(self, names):
        return [{"name": name, **self.topics[name]} for name in names]

    def describe_groups(self, names):
        if isinstance(self.group, Exception):
            raise self.group
        return {names[0]: {"authorized_operations": self.group}}


def topic(granted, code=0):
    return {"error_code": code, "authorized_operations": granted}


@pytest.mark.parametrize(
    ("answer", "lacking"),
    [
        (topic(["DESCRIBE", "READ", "WRITE"]), []),
        (topic(["DESCRIBE", "READ"]), ["Write"]),
        (topic(["DESCRIBE"]), ["Read", "Write"]),
        (topic(None, 29), ["Read", "Write"]),
        (topic(None, 3), []),  # it does not exist
        (topic(None), []),  # unknown
        (topic([]), []),
        ({"error_code": 0}, []),  # a broker before Kafka 2.3
    ],
)
def test_what_a_topic_lacks(answer, lacking):
    found = missing_rights(Admin({"t": answer}), {"t": ["Read", "Write"]})
    assert found == [Right(each, "topic", "t") for each in lacking]


@pytest.mark.parametrize(
    ("answer", "lacks"),
    [
        (["DESCRIBE"], True),
        (["DESCRIBE", "READ"], False),
        (None, False),
        (of_kafka_python.GroupAuthorizationFailedError(), True),
        (of_kafka_python.UnknownError(), False),
        (ValueError("15 is not a valid ACLOperation"), False),
    ],
)
def test_what_a_group_lacks(answer, lacks):
    found = missing_rights(Admin({}, answer), {}, "g")
    assert found == [Right("Read", "group", "g")] * lacks


def test_a_topic_that_is_only_to_be_there_must_be_seen():
    assert missing_rights(Admin({"t": topic(None, 29)}), {"t": ()}) == [
        Right("Describe", "topic", "t")
    ]


@pytest.mark.parametrize("library", [of_kafka_python, of_aiokafka])
def test_both_clients_errors_are_named(library):
    def line(name, *arguments, **options):
        kind = getattr(library, name, None) or getattr(library, name.removesuffix("Error"))
        return str(
            refused(SETTINGS, kind(*arguments), options.pop("operation", "Write"), **options)
        )

    assert "bob has no right to Write on topic t at" in line("TopicAuthorizationFailedError", "t")
    assert "to Read on topic a, Read on topic b at" in line(
        "TopicAuthorizationFailedError", {"b", "a"}, operation="Read"
    )
    assert "to Read on group g at" in line("GroupAuthorizationFailedError", "g")
    assert "to Write on transactional-id w-1 at" in line("TransactionalIdAuthorizationFailedError")
    assert "to IdempotentWrite on cluster at" in line("ClusterAuthorizationFailedError")
    assert "to Create on topic n at" in line(
        "ClusterAuthorizationFailedError", operation="Create", topic="n"
    )


def test_the_line_names_principal_and_remedy():
    line = str(refusal(SETTINGS, [Right("Read", "group", "g"), Right("Write", "topic", "t")]))
    assert line.startswith("User:bob has no right to Read on group g, Write on topic t at ")
    assert line.endswith("--add --allow-principal User:bob --operation Read --group g")
    certificate = SecuritySettings.default(protocol="SSL", certificate_file="c.pem")
    assert "certificate_file='c.pem'" in principal(KafkaSettings.default(security=certificate))
    assert principal(KafkaSettings.default()).startswith("User:ANONYMOUS")
