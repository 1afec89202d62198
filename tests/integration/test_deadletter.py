"""`airsift deadletter`: refused messages are listed, and resent unchanged."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest
from typer.testing import CliRunner

from airsift.cli.app import make_app
from airsift.errors import DecodeError
from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.producer import Producer
from stream.kafka.client.tail import follow
from stream.kafka.codec.dead_letter import as_dead_letter
from stream.kafka.codec.message import ChunkDecoder
from stream.kafka.records.consumer_record import Received
from stream.kafka.settings import KafkaSettings
from stream.runner import Stop
from tests.integration.road import AIRSIFT, DRIVERS
from tests.integration.source_reader import read_all
from tests.waiting import wait_until

TIME_MS = 1_700_000_000_000
HEADERS = [("content-type", b"audio/x-s16le"), ("rate", b"16000"), ("airsift-reason", b"older")]


@pytest.fixture
def letters(kafka_settings: KafkaSettings) -> KafkaSettings:
    """Refuse three messages, of which the last is too long to be stored."""
    settings = kafka_settings
    topics = settings.topics
    ensure_topics(settings, [topics.audio, topics.dead_letters])
    sender = Producer(settings)
    for offset, (key, value) in enumerate(
        [(b"one", b"\x00\xff odd"), ("zwölf\n".encode(), b"y"), (b"one", os.urandom(300_000))]
    ):
        message = Received(topics.audio, 2, offset, TIME_MS, key, value, HEADERS)
        letter = as_dead_letter(message, f"reason {offset}", max_bytes=200_000)
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
    return CliRunner().invoke(make_app(), ["deadletter", *arguments, *sets])


def replayed(settings: KafkaSettings) -> list[tuple[bytes, bytes, list[tuple[str, bytes]]]]:
    topic = settings.topics.audio
    records = follow(settings, [topic], stop=Stop(), from_start=True, until_end=True)
    return sorted((r.key, r.value, list(r.headers)) for r in records)


def test_list_shows_time_offset_station_and_reason(letters: KafkaSettings) -> None:
    result = run(letters, "list")
    assert result.exit_code == 0, result.output
    first, second, third = result.stdout.splitlines()
    assert first.split()[1:4] == [f"{letters.topics.audio}[2]", "0", "one"]
    assert first.startswith("20")
    assert first.endswith("reason 0")
    assert "zwölf\ufffd" in second
    assert re.search(r"reason 2 \(cut: value 199\d{3} of 300000\)$", third)
    assert run(letters, "list", "--limit", "1").stdout == first + "\n"
    assert run(letters, "list", "--station", "one").stdout == f"{first}\n{third}\n"


def test_replay_sends_each_letter_once_and_nothing_that_was_cut(letters: KafkaSettings) -> None:
    audio = letters.topics.audio
    first = run(letters, "replay", "--station", "one", "--limit", "1")
    assert (first.exit_code, first.stdout) == (0, f"1 messages sent to {audio}, {DONE[0]}\n")
    [(key, value, headers)] = replayed(letters)
    assert (key, value, headers[:2]) == (b"one", b"\x00\xff odd", HEADERS[:2])
    past = {"topic": audio, "partition": "2", "kafka-offset": "0", "attempt": "1"}
    past["timestamp-ms"] = str(TIME_MS)
    assert headers[2:] == [(f"airsift-{name}", text.encode()) for name, text in past.items()]

    for sent, rest in [(1, DONE[1]), (0, DONE[2]), (0, DONE[2])]:
        result = run(letters, "replay")
        assert result.exit_code == 1
        assert "[2] 2 is not sent: only its beginning is left (value 199" in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert result.stdout == f"{sent} messages sent to {audio}, {rest}\n"
        assert [key for key, _, _ in replayed(letters)] == [b"one", "zwölf\n".encode()]
    assert len(run(letters, "list").stdout.splitlines()) == 1


DONE = ["0 sent before, 0 not sent", "1 sent before, 1 not sent", "2 sent before, 1 not sent"]


def test_what_is_refused_again_is_the_same_letter(letters: KafkaSettings) -> None:
    topics = letters.topics
    for attempt in (1, 2, 3):
        shown = run(letters, "list", "--station", "one").stdout
        assert ("(attempt" in shown) is (attempt > 1)
        run(letters, "replay", "--station", "one", "--limit", "1")
        newest = [r for r in read_all(letters, topics.audio) if r.key == b"one"][-1]
        assert newest.timestamp == TIME_MS
        letter = as_dead_letter(newest, "still no audio", max_bytes=10**6)
        sender = Producer(letters)
        sender.send(topics.dead_letters, *letter, partition=0)
        sender.flush()
        sender.close()
    assert len(replayed(letters)) == 3
    lines = run(letters, "list").stdout.splitlines()
    assert len(lines) == 3
    assert [line for line in lines if line.endswith("still no audio (attempt 4)")]


def test_a_cut_letter_that_somebody_else_sends_back_is_refused(letters: KafkaSettings) -> None:
    cut = [r for r in read_all(letters, letters.topics.dead_letters) if len(r.value) > 1000]
    decoder = ChunkDecoder(letters.wire)
    even = cut[0].value[: len(cut[0].value) // 2 * 2]  # whole samples
    for record, refused in [
        (cut[0], True),
        (cut[0]._replace(headers=HEADERS, value=even), False),
    ]:
        with pytest.raises(DecodeError, match="only the beginning") if refused else nullcontext():
            decoder.decode(record.key, record.value, record.headers, None)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_worker_and_replays_in_turns_leave_one_letter_a_message(
    driver: str, kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    """Three messages: one is beyond repair, one has no key, and one is a tombstone."""
    settings, topics = kafka_settings, kafka_settings.topics
    ensure_topics(settings, [topics.audio, topics.dead_letters])
    sender = Producer(settings)
    for key, value in ((b"one", b"no audio"), (None, b"no key"), (b"two", None)):
        flac = [("content-type", b"audio/flac")]
        sender.send(topics.audio, key, value, flac, timestamp_ms=TIME_MS)
    sender.flush()
    sender.close()
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AIRSIFT_")}
    named = {f"AIRSIFT_KAFKA__TOPICS__{k.upper()}": str(v) for k, v in topics.model_dump().items()}
    process = subprocess.Popen(
        [*AIRSIFT, *DRIVERS[driver]],
        env={
            **clean,
            **named,
            "AIRSIFT_KAFKA__BOOTSTRAP_SERVERS": settings.bootstrap_servers,
            "AIRSIFT_KAFKA__GROUP": settings.group,
            "AIRSIFT_RUN__CHECKPOINT_S": "0.5",
        },
        stderr=(tmp_path / "log").open("wb"),
    )
    try:
        for attempt in (1, 2, 3):
            suffix = f"(attempt {attempt})" if attempt > 1 else ""
            wait_until(
                lambda s=suffix: all_end_with(run(settings, "list").stdout, 3, s),
                why=(tmp_path / "log").read_text,
            )
            if attempt < 3:
                result = run(settings, "replay")
                assert result.stdout == f"3 messages sent to {topics.audio}, {DONE[0]}\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
    sent = read_all(settings, topics.audio)
    assert len(sent) == 3 * 3
    assert {record.timestamp for record in sent} == {TIME_MS}
    assert {(record.key, record.value) for record in sent} == {
        (b"one", b"no audio"),
        (None, b"no key"),
        (b"two", None),
    }


def all_end_with(listed: str, count: int, suffix: str) -> bool:
    lines = listed.splitlines()
    return len(lines) == count and all(line.endswith(suffix) for line in lines)
