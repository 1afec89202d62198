from __future__ import annotations

from aiokafka.errors import KafkaError, TopicAuthorizationFailedError, for_code

from stream.kafka.faust.refusals import as_broker_error
from stream.kafka.settings import KafkaSettings

OURS = KafkaSettings.default(instance_id="w-0")


def test_another_member_of_our_name_is_said_in_words():
    answer = KafkaError(repr(for_code(82)()))  # as aiokafka passes it on
    line = str(as_broker_error(OURS, answer))
    assert line.startswith(f"another worker of kafka.group={OURS.group!r} runs with")
    assert "kafka.instance_id='w-0'" in line


def test_an_answer_of_no_known_kind_is_told_with_its_text():
    line = str(as_broker_error(OURS, KafkaError(repr(for_code(999)()))))
    assert line.startswith("Faust gave up on the Kafka broker at")
    assert "UnknownError" in line


def test_a_missing_right_is_named_whatever_has_passed_it_on():
    error = KafkaError("x")
    error.__cause__ = TopicAuthorizationFailedError(OURS.topics.audio)
    line = str(as_broker_error(OURS, error))
    assert "Read" in line
    assert OURS.topics.audio in line
