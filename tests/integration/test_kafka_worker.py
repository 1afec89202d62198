"""The watchdog of Faust workers ends a stalled one."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.producer import Producer
from stream.kafka.client.tail import waiting_messages
from stream.kafka.faust.watchdog import EXIT_CODE
from stream.kafka.settings import KafkaSettings

# A pipeline that ignores its input, in a worker that gets stuck at its second message.
ROOT = Path(__file__).parents[2]

STALLING = """
import asyncio, sys, threading
from stream.runner import Stop
from stream.kafka.faust.consumer import FaustConsumer
from stream.kafka.settings import KafkaSettings
from stream.kafka.faust.worker import Worker
from tests.stream.doubles import PipelineDouble

class Deaf(PipelineDouble):
    pushes = 0
    def push(self, chunks, *, last=False):
        self.pushes += len(chunks)
        if self.pushes > 1 and sys.argv[2] == "a blocked call":
            threading.Event().wait()
        return []

async def stuck(self, stream):
    async for event in stream.noack().events():
        self._inbox.append(event.message)
        self._arrived.set()
        await asyncio.Event().wait()

if sys.argv[2] == "a stuck agent":
    FaustConsumer._receive = stuck
settings = KafkaSettings.default(bootstrap_servers=sys.argv[1], stall_s=5.0, session_timeout_s=2.0)
Worker(settings, Deaf(), checkpoint_s=0.5).run(Stop())
"""


@pytest.mark.parametrize("how", ["a blocked call", "a stuck agent"])
def test_a_worker_that_stalls_ends_with_one_line(how, new_broker):
    broker = new_broker()
    settings = KafkaSettings.default(bootstrap_servers=broker.bootstrap_servers)
    ensure_topics(settings, [settings.topics.audio])
    sender = Producer(settings)
    headers = [("content-type", b"audio/x-s16le"), ("rate", b"16000")]
    for n in range(3):
        at = ("start_sample", b"%d" % (8000 * n))
        sender.send(settings.topics.audio, b"a", bytes(16000), [*headers, at], partition=0)
        sender.flush()
    sender.close()
    result = subprocess.run(
        [sys.executable, "-c", STALLING, broker.bootstrap_servers, how],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert result.returncode == EXIT_CODE, result.stderr
    [line] = result.stderr.splitlines()
    assert line.startswith(
        "airsift: no message was processed for kafka.stall_s=5, and kafka_offset"
    )


def test_messages_that_wait_are_found(kafka_settings):
    settings = kafka_settings
    topic = settings.topics.audio
    ensure_topics(settings, [topic])
    assert waiting_messages(settings, None) == ""
    sender = Producer(settings)
    for value in (b"x", b"y"):
        sender.send(topic, b"a", value, [], partition=1)
    sender.flush()
    sender.close()
    assert waiting_messages(settings, None) == f"kafka_offset 0 of {topic} partition 1 waits"
    assert waiting_messages(settings, {1: 1}).startswith("kafka_offset 1 ")
    assert waiting_messages(settings, {0: -1, 1: 2}) == ""


def test_a_worker_starts_where_no_file_can_be_written(tmp_path, new_broker):
    broker = new_broker()
    begun = "from stream.kafka.faust.consumer import FaustConsumer\n"
    begun += "FaustConsumer.start = lambda self: (print('started', flush=True), sys.exit(3))\n"
    code = STALLING.replace("settings = ", begun + "settings = ", 1)
    result = subprocess.run(
        [sys.executable, "-c", code, broker.bootstrap_servers, "nothing"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},  # the double is of the tests
    )
    assert (result.returncode, result.stdout) == (3, "started\n"), result.stderr
    assert list(tmp_path.iterdir()) == []
