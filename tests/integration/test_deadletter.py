"""`airsift deadletter`: what was refused is listed, and sent again as it came."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from stream.cli.app import app
from stream.drive import Stop
from stream.kafka.client import ensure_topics
from stream.kafka.deadletter import as_dead_letter
from stream.kafka.intake import Received
from stream.kafka.sender import Sender
from stream.kafka.settings import KafkaSettings
from stream.kafka.tail import follow

HEADERS = [("content-type", b"audio/x-s16le"), ("rate", b"16000"), ("airsift-reason", b"older")]


@pytest.fixture
def letters(kafka_settings: KafkaSettings) -> KafkaSettings:
    """Refuse three messages, of which the last is too long to be kept."""
    settings = kafka_settings.model_copy(update={"max_request_bytes": 200_000})
    topics = settings.topics
    ensure_topics(settings, [topics.audio, topics.dead_letters])
    sender = Sender(settings)
    for offset, (key, value) in enumerate(
        [(b"one", b"\x00\xff odd"), ("zwölf\n".encode(), b"y"), (b"one", bytes(300_000))]
    ):
        message = Received(topics.audio, 2, offset, 0, key, value, HEADERS)
        letter = as_dead_letter(settings, message, f"reason {offset}")
        sender.send(topics.dead_letters, *letter, partition=0)
    sender.flush()
    sender.close()
    return settings


def run(settings: KafkaSettings, *arguments: str):
    topics = settings.topics
    options = [
        f"kafka.bootstrap_servers={settings.bootstrap_servers}",
        f"kafka.topics.audio={topics.audio}",
        f"kafka.topics.dead_letters={topics.dead_letters}",
    ]
    sets = [part for option in options for part in ("--set", option)]
    return CliRunner().invoke(app, ["deadletter", *arguments, *sets])


def replayed(settings: KafkaSettings) -> list[tuple[bytes, bytes, list[tuple[str, bytes]]]]:
    topic = settings.topics.audio
    records = follow(settings, [topic], stop=Stop(), from_start=True, until_end=True)
    return sorted((r.key, r.value, list(r.headers)) for r in records)


def test_list_tells_time_place_station_and_reason(letters: KafkaSettings) -> None:
    result = run(letters, "list")
    assert result.exit_code == 0, result.output
    first, second, third = result.stdout.splitlines()
    assert first.split()[1:4] == [f"{letters.topics.audio}[2]", "0", "one"]
    assert first.startswith("20")
    assert first.endswith("reason 0")
    assert "zwölf?" in second
    assert third.endswith("reason 2 (cut from 300000 bytes)")
    assert run(letters, "list", "--limit", "1").stdout == first + "\n"
    assert run(letters, "list", "--station", "one").stdout == f"{first}\n{third}\n"


def test_replay_sends_what_came_but_nothing_that_was_cut(letters: KafkaSettings) -> None:
    assert run(letters, "replay", "--station", "one", "--limit", "1").exit_code == 0
    assert replayed(letters) == [(b"one", b"\x00\xff odd", HEADERS[:2])]

    result = run(letters, "replay")
    assert result.exit_code == 1
    assert "[2] 2 is not sent: of its 300000 bytes 65536 were kept" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == f"2 messages sent to {letters.topics.audio}\n"
    assert [key for key, _, _ in replayed(letters)] == [b"one", b"one", "zwölf\n".encode()]
