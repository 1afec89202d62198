"""`/readyz` agrees with the state of the consumer group."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import closing

import pytest

from stream.kafka.apache_broker import ApacheKafka
from stream.kafka.client.connect import connect_admin, ensure_topics
from stream.kafka.loopback import free_ports
from stream.kafka.settings import KafkaSettings
from tests.integration.road import AIRSIFT, DRIVERS


@pytest.fixture(scope="module")
def broker(apache_kafka):  # skips where there is none
    # It is this long before a first member is given anything.
    with ApacheKafka(properties={"group.initial.rebalance.delay.ms": "5000"}) as kafka:
        yield kafka


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_worker_is_ready_once_it_has_joined(driver, broker):
    settings = KafkaSettings.default(bootstrap_servers=broker.bootstrap_servers, group=driver)
    ensure_topics(settings, [settings.topics.audio])
    [port] = free_ports(1)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AIRSIFT_")}
    process = subprocess.Popen(
        [*AIRSIFT, *DRIVERS[driver]],
        env={
            **clean,
            "AIRSIFT_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "AIRSIFT_KAFKA__GROUP": driver,
            "AIRSIFT_WATCH__PORT": str(port),
        },
        stderr=subprocess.DEVNULL,
    )
    waited_for = set()
    try:
        deadline = time.monotonic() + 90
        with closing(connect_admin(settings)) as admin:
            while True:
                assert process.poll() is None
                assert time.monotonic() < deadline
                ready, why = ask(port)
                if ready:
                    break
                waited_for |= set(why)
                time.sleep(0.1)
            [group] = admin.describe_groups([driver]).values()
        assert group["group_state"] == "Stable"
        assert len(group["members"]) == 1
        assert {"source", "group"} <= waited_for
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def ask(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return True, json.load(answer)["waits_for"]
    except urllib.error.HTTPError as error:
        return False, json.load(error)["waits_for"]
    except OSError:
        return False, []
