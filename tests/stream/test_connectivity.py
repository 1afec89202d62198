from __future__ import annotations

from stream.kafka.health import Connectivity
from stream.kafka.settings import KafkaSettings


class Broker:
    def __init__(self):
        self.now, self.reads = 0.0, [0.0]
        settings = KafkaSettings.default(request_timeout_s=30.0)
        self.connectivity = Connectivity(settings, lambda: self.reads, now=lambda: self.now)

    def error_at(self, now, *reads):
        self.now, self.reads = now, reads
        return self.connectivity.broker_error


def test_a_broker_whose_connections_are_closed_is_missed_after_seconds():
    broker = Broker()
    assert broker.error_at(10.0, 9.9, 4.0) == ""
    assert broker.error_at(12.9) == ""
    assert "127.0.0.1:9092 for 4 s" in broker.error_at(13.9)
    assert broker.error_at(14.0, 14.0) == ""


def test_an_open_connection_may_be_quiet_for_as_long_as_a_request():
    broker = Broker()
    assert broker.error_at(10.0, 10.0) == ""
    assert broker.error_at(40.0, 10.0) == ""
    assert "for 31 s" in broker.error_at(41.0, 10.0)
    # Opened again, but it has sent nothing since.
    assert broker.error_at(42.0, 42.0) == ""
