"""Framed events on a schema registry (Apicurio, `make registry`), read by Confluent's client."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from airsift.errors import BrokerError
from stream.events import Decision, Event, Gap, Match, Segment
from stream.kafka.client.sink import KafkaSink
from stream.kafka.loopback import free_ports
from stream.kafka.schema_registry import open_format, schema_of
from stream.kafka.settings import KafkaSettings, MessageSettings, RegistrySettings
from tests.integration.source_reader import read_all
from tests.waiting import wait_until

FOLDER = Path(__file__).parents[2] / ".registry"
RATE = 16000
EVENTS = [
    Decision("ö b", 0, 80000, RATE, 1.7e9, 0.95, 1.0),
    Segment("a", 0, RATE, RATE, None, "speech", 0.9, final=True),
    Match("a", 0, 9, RATE, 0.0, "key", "Title", "Ärtist", 1, 2.0, final=True),
    Gap("a", 0, 1, RATE, None, "missing"),
]
# Starting it takes half a minute of a core.
pytestmark = [pytest.mark.long, pytest.mark.process]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    jars = sorted(FOLDER.glob("apicurio-registry-app-*-runner.jar"))
    if not jars or not shutil.which("java"):
        pytest.skip("there is no schema registry: `make registry` fetches one; it needs Java")
    [port] = free_ports(1)
    options = ["-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}"]
    with (tmp_path_factory.mktemp("registry") / "log").open("w") as log:
        process = subprocess.Popen(
            ["java", *options, "-jar", str(jars[-1])], cwd=FOLDER, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
            wait_until(lambda: answers(url), 180, process=process)
            yield url
        finally:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    try:
        open_format(settings_of(url), ["gap"])
    except BrokerError:
        return False
    return True


def settings_of(url: str, **changes: object) -> KafkaSettings:
    return KafkaSettings.default(
        messages=MessageSettings.default(framing="confluent"),
        registry=RegistrySettings.default(url=url, **changes),
    )


def test_what_was_registered_once_is_found_without_the_right_to_register(registry: str) -> None:
    settings = settings_of(registry, register_schemas=False)
    topics = settings.topics.model_copy(update={"segments": "not-there"})
    with pytest.raises(BrokerError, match="register docs/schemas there"):
        open_format(settings.model_copy(update={"topics": topics}), ["segment"])
    for event in EVENTS:
        registered = open_format(settings_of(registry)).encode(event)
        assert open_format(settings).encode(event) == registered


def test_confluents_client_reads_framed_events(
    registry: str, kafka_settings: KafkaSettings
) -> None:
    client = pytest.importorskip("confluent_kafka.schema_registry")
    json_schema = pytest.importorskip("confluent_kafka.schema_registry.json_schema")
    serialization = pytest.importorskip("confluent_kafka.serialization")
    conventions = settings_of(registry)
    settings = kafka_settings.model_copy(
        update={"messages": conventions.messages, "registry": conventions.registry}
    )
    sink = KafkaSink(settings)
    sink.write(EVENTS)
    sink.close()
    connected = client.SchemaRegistryClient({"url": registry})
    deserialize = json_schema.JSONDeserializer(None, schema_registry_client=connected)

    def read(event: Event) -> object:
        topic = settings.topics.events[event.kind]
        [record] = read_all(settings, topic)
        value = serialization.MessageField.VALUE
        return deserialize(record.value, serialization.SerializationContext(topic, value))

    assert [read(event) for event in EVENTS] == [event.to_dict() for event in EVENTS]
    number = connected.get_latest_version(f"{settings.topics.gaps}-value")
    assert number.schema.schema_str == schema_of("gap")
