"""A broker that goes away and comes back: it is logged once, nothing is lost, no stop is late."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from functools import partial

import numpy as np
import pytest

from stream.audio import AudioChunk
from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.producer import Producer
from stream.kafka.client.tail import follow
from stream.kafka.codec.message import encode
from stream.kafka.loopback import free_ports
from stream.kafka.settings import KafkaSettings
from stream.runner import Stop
from tests.integration.door import Door
from tests.integration.road import DRIVERS, make_environment
from tests.waiting import wait_until

RATE = 16000

# The command line with a pipeline that emits one event per chunk, so that no network is loaded.
SIMPLE = """
import sys
from airsift import build, networks
from airsift.cli.app import main
from stream.events import Decision
from tests.stream.doubles import PipelineDouble

class Simple(PipelineDouble):
    def push(self, chunks, *, last=False):
        super().push(chunks)
        return [Decision(c.station, c.start, c.end, c.rate, None, 0.5, 0.5) for c in chunks]

build.build_pipeline = lambda *args, **named: Simple()
networks.model_rate = lambda config: 16000
sys.argv = ["airsift", *sys.argv[1:]]
main()
"""


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def decisions(port):
    for line in get(port, "/metrics")[1].splitlines():
        if line.startswith('airsift_events_total{kind="decision"}'):
            return float(line.split()[1])
    return 0.0


def calls(port, part):
    """Return how often a part of the loop was timed."""
    for line in get(port, "/metrics")[1].splitlines():
        if line.startswith(f'airsift_stage_seconds_count{{stage="{part}"}}'):
            return float(line.split()[1])
    return 0.0


def send(settings, first, count):
    sender = Producer(settings)
    for k in range(first, first + count):
        message = encode(AudioChunk("a", k * RATE, np.zeros(RATE, np.float32), RATE))
        sender.send(settings.topics.audio, *message)
    sender.flush()
    sender.close()


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_broker_that_goes_away_and_comes_back(driver, tmp_path, new_broker):
    [port], log = free_ports(1), tmp_path / "log"
    with Door() as door:
        broker = new_broker(advertised_port=door.port)
        door.lead_to(broker.port)
        settings = KafkaSettings.default(bootstrap_servers=f"127.0.0.1:{door.port}")
        environment = make_environment(settings, partitions=2)
        environment["AIRSIFT_WATCH__PORT"] = str(port)
        environment["AIRSIFT_KAFKA__SESSION_TIMEOUT_S"] = "2"
        ensure_topics(settings, [settings.topics.audio])
        send(settings, 0, 4)
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-c", SIMPLE, *DRIVERS[driver]], env=environment, stderr=out
            )
        try:
            wait_for = partial(wait_until, timeout_s=120, process=process, why=log.read_text)
            wait_for(lambda: decisions(port) >= 4)
            wait_for(lambda: get(port, "/readyz")[0] == 200)
            for part in ("publish", "flush", "settle"):
                wait_for(lambda part=part: calls(port, part) > 0)
            send(settings, 4, 4)  # on its way, one way or the other
            door.shut()
            wait_for(lambda: get(port, "/readyz")[0] == 503)
            trouble = json.loads(get(port, "/readyz")[1])["trouble"]
            assert f"no answer from the Kafka broker at 127.0.0.1:{door.port}" in trouble
            assert get(port, "/healthz")[0] == 200
            wait_for(lambda: "not ready" in log.read_text())
            door.open()
            wait_for(lambda: "ready again" in log.read_text())
            assert get(port, "/readyz")[0] == 200
            send(settings, 8, 4)
            wait_for(lambda: decisions(port) >= 12)
            door.shut()
            wait_for(lambda: get(port, "/readyz")[0] == 503)
            process.terminate()
            # It ends in time: by itself, or by force if events were on their way.
            code = process.wait(60)
            lines = log.read_text().splitlines()
            forced = [line for line in lines if line.startswith("airsift: did not end within")]
            assert (code, len(forced) <= 1) == (0, True), "\n".join(lines)
        finally:
            process.kill()
            process.wait()
        door.open()
        topic = settings.topics.decisions
        records = follow(settings, [topic], stop=Stop(), from_start=True, until_end=True)
        starts = {json.loads(record.value)["start_s"] for record in records}
        assert starts >= set(range(8))  # the last may be on its way to who comes next
        assert all(line[:2] == "20" for line in lines if line not in forced), "\n".join(lines)
        logged = [line.partition("Z ")[2] for line in lines]
        # The second time it may be stopped before it logs.
        assert sum(line.startswith("warning not ready: no answer") for line in logged) in (1, 2), (
            "\n".join(lines)
        )
        assert sum(line == "info ready again" for line in logged) == 1, "\n".join(lines)
        assert sum(line.startswith(("warning", "error")) for line in logged) <= 2, "\n".join(lines)
