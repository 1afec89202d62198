from __future__ import annotations

import http.client
import json
import socket
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from airsift import config
from airsift.errors import ConfigError
from stream.audio import AudioChunk
from stream.kafka.health import Readiness
from stream.pipeline import Pipeline
from stream.runner import Stop, run_source
from stream.sources.base import Source
from stream.telemetry import server
from stream.telemetry.health import Health
from stream.telemetry.server import serving
from stream.telemetry.telemetry import Telemetry
from stream.testing import ManualClock
from tests.stream.doubles import SMOOTH
from tests.stream.networks import FRONT_END

RATE = 16000


def request(port, path, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def status(port, path):
    code, body = request(port, path)
    return code, json.loads(body)


@contextmanager
def served(health):
    with serving("127.0.0.1", 0, CollectorRegistry(), health) as port:
        yield port


def test_ready_when_source_and_model_are_there():
    health = Health(90.0)
    with served(health) as port:
        assert status(port, "/readyz")[0] == 503
        assert status(port, "/healthz")[0] == 200
        health.done("source")
        code, report = status(port, "/readyz")
        assert (code, report["waits_for"]) == (503, ["model"])
        health.done("model")
        assert status(port, "/readyz")[0] == 200


def test_a_start_that_never_ends_is_a_stall_too():
    clock = ManualClock(1000.0)
    health = Health(90.0, now=clock)
    clock.now += 90.0
    assert health.healthy
    clock.now += 0.1
    assert not health.healthy


class HeldSource(Source):
    """Gives a batch, then nothing until it is let go."""

    def __init__(self):
        self.polled, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def __iter__(self):
        for number in range(3):
            self.polled.release()
            assert self.go.acquire(timeout=30)
            yield [AudioChunk("a", number * RATE, np.zeros(RATE, np.float32), RATE)]


def test_health_follows_the_loop(classifier):
    clock, source = ManualClock(1000.0), HeldSource()
    watch = Telemetry(config.load(environ={}).config.watch, now=clock)
    pipeline = Pipeline(FRONT_END, classifier, SMOOTH)
    watch.bind(source, pipeline, [])
    loop = threading.Thread(
        target=run_source,
        args=(source, pipeline, []),
        kwargs={"checkpoint_s": 9, "stop": Stop(), "observer": watch},
    )
    with serving("127.0.0.1", 0, watch.metrics.registry, watch.health) as port:
        loop.start()
        try:
            assert source.polled.acquire(timeout=30)
            assert status(port, "/healthz")[0] == status(port, "/readyz")[0] == 200
            clock.now += 91
            code, report = status(port, "/healthz")
            assert (code, report["seconds_since_progress"]) == (503, 91.0)
            assert status(port, "/readyz")[0] == 503
            assert b"\nairsift_progress_age_seconds 91.0\n" in request(port, "/metrics")[1]
            source.go.release()
            assert source.polled.acquire(timeout=30)
            assert status(port, "/healthz")[0] == status(port, "/readyz")[0] == 200
        finally:
            for _ in range(3):
                source.go.release()
            loop.join(30)
    assert not loop.is_alive()


def test_trouble_is_logged_once_and_once_when_it_is_over(caplog):
    # The broker goes, comes, goes and comes before the group is joined, and then it is.
    edges = [("", ()), ("no broker", ()), ("no broker", ()), ("", ["group"])]
    edges += [("no broker", ["group"]), ("", ["group"]), ("", ()), ("", ["group"]), ("", ())]
    watch = Telemetry(config.load(environ={}).config.watch)
    watch.health.done("source", "model")
    watch.health.bind(lambda: edges[0][0], lambda: edges[0][1])
    counts = []
    with caplog.at_level("INFO"):
        while edges:
            watch.poll()
            counts.append(len(caplog.messages))
            edges.pop(0)
    assert caplog.messages == ["not ready: no broker", "ready again"]
    assert counts == [0, 1, 1, 1, 1, 1, 2, 2, 2]


def test_what_is_not_there_is_404_and_nothing_can_be_sent():
    with served(Health(90.0)) as port:
        assert request(port, "/etc/passwd")[0] == 404
        assert request(port, "/metrics", "POST")[0] == 501
        assert request(port, "/healthz?verbose")[0] == 200
        assert request(port, "/healthz", "HEAD") == (200, b"")


def test_a_silent_client_is_disconnected_and_blocks_nobody(monkeypatch):
    monkeypatch.setattr(server._Handler, "timeout", 0.3)
    with served(Health(90.0)) as port, socket.create_connection(("127.0.0.1", port)) as mute:
        assert request(port, "/healthz")[0] == 200
        mute.settimeout(10)
        assert mute.recv(1) == b""


def test_a_client_that_goes_away_is_no_news(capfd):
    with served(Health(90.0)) as port:
        for _ in range(3):
            rude = socket.create_connection(("127.0.0.1", port))
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            rude.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            rude.close()
        assert request(port, "/healthz")[0] == 200
    assert capfd.readouterr().err == ""


def test_loopback_by_default():
    assert config.load(environ={}).config.watch.address == "127.0.0.1"
    assert config.load(environ={}).config.watch.port == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "192.0.2.1", "no such name"])
def test_a_place_where_nobody_can_listen_is_named(address):
    with (
        served(Health(90.0)) as taken,
        pytest.raises(ConfigError, match=rf"watch\.port={taken}: .*free port"),
        serving(address, taken, CollectorRegistry(), Health(90.0)),
    ):
        pass


def test_a_member_is_ready_when_it_has_joined_and_was_given_what_it_can_fetch():
    clock, ends = ManualClock(1000.0), {}
    member = Readiness(10.0, clock)
    health = Health(90.0, ())
    health.bind(str, lambda: member.waits_for)

    def look(partitions, after_s=1.0):
        clock.now += after_s
        member.update(partitions, ends.get)
        return health.report()["waits_for"], health.ready

    assert look(None) == (["group"], False)
    assert look([0, 1]) == (["partitions"], False)
    ends[0] = 0
    assert look([0, 1]) == (["partitions"], False)
    ends[1] = 7
    assert look([0, 1]) == ([], True)
    assert look([]) == ([], True)  # it stands by
    assert look(None, 9.0) == ([], True)  # a rebalance
    assert look([0, 1, 2]) == (["partitions"], False)
    ends[2] = 0
    assert look([0, 1, 2]) == ([], True)
    assert look(None, 11.0) == (["group"], False)
    assert look(None, 11.0) == (["group"], False)
    assert look([0]) == ([], True)
