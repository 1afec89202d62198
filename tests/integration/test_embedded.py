"""The embedded broker never outlives the process that started it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.integration.road import is_running
from tests.waiting import wait_until

HOLDER = """
import time
from stream.kafka.embedded_broker import EmbeddedBroker
with EmbeddedBroker() as broker:
    print(broker.process.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_the_embedded_broker_dies_with_a_parent_killed() -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    pid = int(holder.stdout.readline())
    holder.kill()
    holder.wait()
    holder.stdout.close()
    wait_until(lambda: not is_running(pid))
