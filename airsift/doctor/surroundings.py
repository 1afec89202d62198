"""What airsift is connected to: microphones and Kafka."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from airsift.doctor.finding import Finding, ok, problem, warning
from airsift.errors import BrokerError, ConfigError, SourceError

if TYPE_CHECKING:
    from airsift.config import Config

_LONGEST_S = 5.0  # of a broker that answers at all


def sound() -> Iterator[Finding]:
    """Tell which inputs PortAudio lists."""
    from stream.sources.devices import input_devices

    try:
        found = input_devices()
    except SourceError as error:
        yield warning("sound", str(error), "only microphones need it")
        return
    if not found:
        yield ok("sound", "no input; only `airsift listen` and --source microphone need one")
        return
    default = next((each.name for each in found if each.is_default), "none")
    names = [each.name for each in found]
    yield ok("sound", f"{len(found)} inputs, by default {default}", inputs=names)


def broker(config: Config, *, configured: bool) -> Iterator[Finding]:
    """Ask the configured broker for its topics."""
    kafka = config.kafka
    if not configured:
        yield ok("Kafka", "no broker is configured; kafka.bootstrap_servers names one")
        return
    from stream.kafka.client.connect import broker_errors, connect_admin, quiet_logs

    quiet_logs("kafka")
    limit = min(kafka.connect_timeout_s, _LONGEST_S)
    asked = kafka.model_copy(update={"connect_timeout_s": limit})
    began = time.monotonic()
    try:
        with closing(connect_admin(asked)) as admin, broker_errors(asked):
            topics = set(admin.list_topics())
    except (BrokerError, ConfigError) as error:
        yield problem("Kafka", str(error), "start it, or correct [kafka]")
        return
    took = time.monotonic() - began
    ours = [name for name in (kafka.topics.audio, *kafka.topics.events.values()) if name in topics]
    where = kafka.bootstrap_servers
    text = f"{where} answers in {took:.1f} s; topics {', '.join(ours) or 'of airsift: none yet'}"
    yield ok("Kafka", text, topics=ours)
