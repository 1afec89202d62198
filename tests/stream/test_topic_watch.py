from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import BrokerError
from stream.kafka.client.topic_watch import Topic, TopicWatch
from stream.kafka.settings import KafkaSettings

GONE = None


class Broker:
    """Answers what its topics are: an id and a number of partitions, or gone."""

    def __init__(self, **topics):
        self.topics = topics
        self.watch = TopicWatch(KafkaSettings.default(), topics, self.ask)

    def ask(self, names):
        if self.topics is None:
            raise BrokerError("no Kafka broker answers")
        return [self.describe(name) for name in names]

    def describe(self, name):
        topic = self.topics[name]
        if topic is GONE:
            return {"name": name, "error_code": 3, "partitions": []}
        id_, partitions = topic
        return {"name": name, "error_code": 0, "topic_id": id_, "partitions": [{}] * partitions}

    def poll(self, **topics):
        self.topics = {**self.topics, **topics}
        self.watch.poll()
        return self.watch


def test_a_topic_that_is_gone_is_named_from_the_second_poll_on():
    broker = Broker(a=("1", 3), b=("2", 3))
    assert broker.poll().broker_error == ""
    assert broker.poll(b=GONE).broker_error == ""
    assert broker.poll().broker_error.startswith("topic b is gone from the Kafka broker")
    broker.poll(a=GONE)
    assert broker.poll().broker_error.startswith("topic a, b are gone")
    assert broker.poll(a=("3", 3)).broker_error.startswith("topic b is gone")
    assert broker.poll(b=("4", 3)).broker_error == ""


def test_a_broker_that_does_not_answer_changes_nothing():
    broker = Broker(a=("1", 3))
    broker.poll()
    broker.topics = None
    broker.watch.poll()
    broker.watch.poll()
    assert (broker.watch.broker_error, broker.watch.known("a")) == ("", Topic("1", 3))


@given(st.lists(st.sampled_from([GONE, ("x", 2), ("x", 5), ("y", 2), ("z", 1)])))
def test_a_topic_is_recreated_as_often_as_its_id_changes(seen):
    broker = Broker(a=("x", 2))
    broker.poll()
    for topic in seen:
        broker.poll(a=topic)
    ids = ["x", *(topic[0] for topic in seen if topic is not GONE)]
    changes = sum(a != b for a, b in itertools.pairwise(ids))
    assert broker.watch.recreations("a") == changes
    assert broker.watch.known("a").id == ids[-1]


@pytest.mark.parametrize("id_", [None, ""])
def test_a_broker_without_ids_makes_nothing_anew(id_):
    broker = Broker(a=(id_, 2))
    broker.poll()
    assert broker.poll(a=(id_, 5)).recreations("a") == 0
    assert broker.watch.known("a") == Topic("", 5)


def test_what_was_not_seen_is_nothing():
    assert Broker(a=GONE).poll().known("a") == Topic("", 0)
