"""Conventions of other systems over Apache Kafka, with both drivers: traces and CloudEvents."""

from __future__ import annotations

import time

import pytest

from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.tail import follow
from stream.runner import Stop
from tests.integration.brokers import TOPICS, settings_of
from tests.integration.road import DRIVERS, end, make_environment, publish, recording, start
from tests.stream.collector import attributes, collecting
from tests.waiting import wait_until

pytest.importorskip("opentelemetry.proto")


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_trace_goes_from_the_publisher_over_the_worker_to_its_subscribers(
    driver, apache_kafka, tmp_path
):
    settings = settings_of(apache_kafka)
    environment = make_environment(apache_kafka, 1) | {
        f"AIRSIFT_KAFKA__TOPICS__{topic.upper()}": getattr(settings.topics, topic)
        for topic in TOPICS
    }
    environment |= {
        "AIRSIFT_KAFKA__MESSAGES__HEADERS": "cloudevents",
        "AIRSIFT_TRACING__ENABLED": "true",
        "AIRSIFT_TRACING__SAMPLE_RATIO": "1.0",
    }
    audio, decisions = settings.topics.audio, settings.topics.decisions
    ensure_topics(settings, [decisions])
    with collecting() as spans:
        environment["AIRSIFT_TRACING__ENDPOINT"] = spans.endpoint
        sent = publish(environment, recording(tmp_path / "a.wav", 20, 1), "radio", "--fast")
        assert sent.returncode == 0, sent.stderr
        worker = start(driver, environment)
        records = []
        try:
            deadline = time.monotonic() + 120
            for record in follow(settings, [decisions], stop=Stop(), from_start=True):
                records.append(record)
                assert time.monotonic() < deadline
                if len(records) >= 10:
                    break
        finally:
            assert end(worker) == 0
        wait_until(lambda: spans.named(f"process {audio}"))
    sends = {span.span_id for span in spans.named(f"send {audio}")}
    assert len(sends) == 40
    processed = {span.span_id.hex(): span for span in spans.named(f"process {audio}")}
    for record in records:
        headers = dict(record.headers)
        _, trace, span, flags = headers["traceparent"].decode().split("-")
        assert flags == "01"
        assert processed[span].trace_id.hex() == trace
        assert processed[span].parent_span_id in sends
        assert attributes(processed[span])["airsift.station"] == "radio"
        assert headers["ce_type"] == b"airsift.decision/1"
        assert headers["ce_traceparent"] == headers["traceparent"]
    steps = {span.span_id for span in spans.named("step")}
    parts = {span.name for span in spans if span.parent_span_id in steps}
    assert {"classify", "smooth", "publish", "flush", "settle"} <= parts
