"""``airsift broker``: an embedded Kafka broker, for trials."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Annotated

import typer

from airsift.cli.common import say
from airsift.errors import BrokerError

_POLL_S = 0.1


def broker(
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port on this machine's loopback address.")
    ] = 9092,
) -> None:
    """Run an embedded Kafka broker until Ctrl-C; everything on it is in memory.

    It is for trials on this machine. Use Apache Kafka in production.
    """
    from stream.kafka.embedded_broker import EmbeddedBroker
    from stream.runner import stop_on_signals

    _refuse_taken(port)
    with stop_on_signals() as stop, EmbeddedBroker(port=port) as running:
        address = running.bootstrap_servers
        say(
            f"Kafka broker at {address}, in memory, until Ctrl-C: give airsift --set "
            f"kafka.bootstrap_servers={address} (its default is 127.0.0.1:9092)"
        )
        while not stop.requested:
            if running.process is None or running.process.poll() is not None:
                raise BrokerError(f"the embedded broker at {address} has died; start it again")
            time.sleep(_POLL_S)


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe, suppress(ConnectionRefusedError):
        probe.settimeout(1.0)
        probe.connect(("127.0.0.1", port))
        raise BrokerError(f"--port {port}: another program listens on it; give another port")
