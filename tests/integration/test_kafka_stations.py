"""Stations of Kafka in `airsift run --stations`, on a broker, beside stations of other kinds."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airsift.errors import SourceError
from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.peek import peek
from stream.kafka.client.producer import Producer
from stream.kafka.client.source import KafkaSource
from stream.kafka.loopback import free_ports
from stream.kafka.settings import KafkaSettings
from stream.testing import noise, write_wav
from tests.command import airsift
from tests.integration.live import OnAir
from tests.integration.road import tune
from tests.integration.source_reader import CHUNK, RATE, SourceReader, read_all, send
from tests.stream.doubles import snapshot as snapshot_at
from tests.waiting import wait_until

pytestmark = pytest.mark.process


class NamedReader(SourceReader):
    """Reads some keys under names of their own."""

    def __init__(self, settings: KafkaSettings, stations: dict[str, str]) -> None:
        self.source = KafkaSource(settings, rate=RATE, stations=stations)
        self.batches = iter(self.source)
        self.chunks, self.resumed, self.lost = {}, {}, set()


@pytest.fixture(params=["kafka_settings", pytest.param("apache_settings", marks=pytest.mark.kafka)])
def either_settings(request: pytest.FixtureRequest) -> KafkaSettings:
    """Return settings for the broker of the tests, and then for Apache Kafka."""
    settings: KafkaSettings = request.getfixturevalue(request.param)
    return settings


@pytest.fixture
def open_named() -> Iterator[Callable[[KafkaSettings, dict[str, str]], NamedReader]]:
    opened: list[NamedReader] = []

    def make(settings: KafkaSettings, stations: dict[str, str]) -> NamedReader:
        opened.append(NamedReader(settings, stations))
        return opened[-1]

    yield make
    for reader in opened:
        reader.close()


def test_some_keys_are_stations_with_names_of_their_own(
    either_settings: KafkaSettings,
    open_named: Callable[[KafkaSettings, dict[str, str]], NamedReader],
) -> None:
    sounds = {key: noise(4, seed=seed) for seed, key in enumerate(["k1", "k2", "other"])}
    for key, samples in sounds.items():
        send(either_settings, key, samples)
    first = open_named(either_settings, {"one": "k1", "two": "k2"})
    first.read_until(lambda: first.ends() == {"one": 4 * RATE, "two": 4 * RATE})
    assert np.array_equal(first.samples("one"), sounds["k1"])
    assert np.array_equal(first.samples("two"), sounds["k2"])
    first.source.checkpoint({"one": snapshot_at(2 * RATE), "two": snapshot_at(3 * RATE)})
    first.close()
    send(either_settings, "k1", noise(1))

    # They go on where they were; one that the list has no more is withdrawn.
    second = open_named(either_settings, {"one": "k1", "new": "other"})
    second.read_until(lambda: second.ends().get("one") == 5 * RATE)
    assert set(second.resumed) == {"one"}
    assert second.chunks["one"][0].start == 2 * RATE - CHUNK
    second.source.checkpoint({"one": snapshot_at(4 * RATE)})
    # While it is read, a station goes, and another comes.
    second.source.select({"new": "other"})
    send(either_settings, "k1", noise(1))
    send(either_settings, "other", noise(2))
    second.read_until(lambda: second.ends().get("new") == 6 * RATE)
    assert second.ends()["one"] == 5 * RATE
    second.source.checkpoint({"new": snapshot_at(6 * RATE)})
    second.close()

    third = open_named(either_settings, {"one": "k1", "new": "other"})
    send(either_settings, "k1", noise(1))
    third.read_until(lambda: "one" in third.ends())
    assert set(third.resumed) == {"new"}


def test_a_dead_letter_has_the_key_that_was_sent(
    either_settings: KafkaSettings,
    open_named: Callable[[KafkaSettings, dict[str, str]], NamedReader],
) -> None:
    topics = either_settings.topics
    ensure_topics(either_settings, [topics.audio, topics.dead_letters])
    sender = Producer(either_settings)
    for key in (b"k1", b"k2"):
        sender.send(topics.audio, key, b"no audio", [("content-type", b"audio/flac")])
    sender.flush()
    sender.close()
    reader = open_named(either_settings, {"one": "k1"})
    deadline = time.monotonic() + 30
    while not reader.source.counts["dead_letters"]:
        reader.step()
        assert time.monotonic() < deadline
    reader.source.checkpoint({})
    reader.close()
    assert [m.key for m in read_all(either_settings, topics.dead_letters)] == [b"k1"]


def test_the_next_audio_of_a_key_is_peeked_at(kafka_settings: KafkaSettings) -> None:
    ensure_topics(kafka_settings, [kafka_settings.topics.audio])
    with OnAir(kafka_settings, ["here", "there"]):
        wait_until(lambda: _peeked(kafka_settings, "there"), 30)
    with pytest.raises(SourceError, match=r"no audio within 0\.5 s"):
        peek(kafka_settings, "there", 0.5)


def _peeked(settings: KafkaSettings, key: str) -> bool:
    try:
        found = peek(settings, key, 3)
    except SourceError:
        return False
    assert (found.chunk.rate, found.content_type, found.channels) == (RATE, "audio/x-s16le", 1)
    return True


# The command

FAST = ["--set", "run.checkpoint_s=0.5", "--set", "http.max_backoff_s=0.5"]
FAST += ["--set", "kafka.session_timeout_s=3", "--set", "kafka.connect_timeout_s=3"]


def kafka_entry(name: str, key: str, more: str = "") -> str:
    return f'[[stations]]\nname = "{name}"\nsource = "kafka:{key}"\n{more}\n'


def options(settings: KafkaSettings) -> list[str]:
    topics = settings.topics
    values = {
        "kafka.bootstrap_servers": settings.bootstrap_servers,
        "kafka.group": settings.group,
        "kafka.topics.audio": topics.audio,
        "kafka.topics.state": topics.state,
        "kafka.topics.dead_letters": topics.dead_letters,
        "kafka.topics.partitions": topics.partitions,
    }
    return [word for k, v in values.items() for word in ("--set", f"{k}={v}")]


def events(path: Path, kind: str = "decision") -> dict[str, list[dict[str, Any]]]:
    """Return the final events of each station."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    lines = path.read_text().splitlines() if path.exists() else []
    for line in lines:
        if line.endswith("}"):
            event = json.loads(line)
            if event["schema"] == f"airsift.{kind}/1" and event.get("final", True):
                found[event["station"]].append(event)
    return found


@contextmanager
def running(
    listed: Path, out: Path, settings: KafkaSettings
) -> Iterator[tuple[subprocess.Popen[str], Callable[[], str]]]:
    log = listed.parent / "log"
    with log.open("a") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "airsift", "run", *FAST, *options(settings),
             "--stations", str(listed), "--sink", f"jsonl:{out}"],
            stderr=file, text=True,
        )  # fmt: skip
        try:
            yield process, log.read_text
        finally:
            process.kill()
            process.wait(10)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_mixed_list_goes_on_after_kills_where_each_station_was(
    tmp_path: Path, kafka_settings: KafkaSettings
) -> None:
    listed, out = tmp_path / "stations.toml", tmp_path / "out.jsonl"
    write_wav(tmp_path / "tape.wav", tune(8))
    (port,) = free_ports(1)
    broken = kafka_entry("broken", "x", f'kafka = {{ bootstrap_servers = "127.0.0.1:{port}" }}')
    tape = '[[stations]]\nname = "tape"\nsource = "tape.wav"\n'
    one, two = kafka_entry("one", "k1"), kafka_entry("zwei 🎧", "k2")
    listed.write_text(one + two + broken + tape)
    ensure_topics(kafka_settings, [kafka_settings.topics.audio])
    names = ("one", "zwei 🎧")

    def newest(name: str) -> float:
        return max((event["end_s"] for event in events(out)[name]), default=0.0)

    def goes_on(began: dict[str, float], number: int, log: Callable[[], str]) -> bool:
        """Whether all stations have gone on, the tape is read again, and the broken one is said."""
        is_live = all(newest(name) > max(began[name], 1e9) + 5 for name in names)
        is_read = len(events(out)["tape"]) == 4 * number
        return is_live and is_read and "no audio of broken" in log()

    with OnAir(kafka_settings, ["k1", "k2", "k3"]):
        for number, how in enumerate((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM), 1):
            began = {name: newest(name) for name in names}
            with running(listed, out, kafka_settings) as (process, log):
                wait_until(partial(goes_on, began, number, log), 90, process=process, why=log)
                process.send_signal(how)
                assert process.wait(30) == (0 if how == signal.SIGTERM else -9), log()
            time.sleep(2)
        # A station is removed and another added, while one goes on.
        began = {name: newest(name) for name in names}
        with running(listed, out, kafka_settings) as (process, log):
            wait = {"process": process, "why": log}
            wait_until(lambda: all(newest(n) > began[n] + 3 for n in names), 90, **wait)
            listed.write_text(one + kafka_entry("three", "k3"))
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: len(events(out)["three"]) > 3, 60, **wait)
            ended = events(out, "segment")["zwei 🎧"]
            assert ended  # what was open is closed
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        at = newest("zwei 🎧")
        assert newest("one") > at
    for name in names:
        # Whatever was killed, no second is missing, and what comes again is the same.
        by_id = {event["id"]: event for event in events(out)[name]}
        assert all(by_id[event["id"]] == event for event in events(out)[name])
        ends = sorted(event["end_s"] for event in by_id.values())
        if name != "one":  # the last window ends where the station was removed
            ends.pop()
        assert ends == [ends[0] + n for n in range(len(ends))], name
        # The segment that was open over the kills is one.
        segments = {event["id"] for event in events(out, "segment")[name]}
        assert len(segments) <= 1 + (name != "one"), segments
    assert events(out, "gap") == {}
    assert "broken" not in events(out)


@pytest.mark.slow
def test_a_list_is_checked_on_its_broker(tmp_path: Path, kafka_settings: KafkaSettings) -> None:
    listed = tmp_path / "stations.toml"
    (port,) = free_ports(1)
    far = kafka_entry("far", "x", f'kafka = {{ bootstrap_servers = "127.0.0.1:{port}" }}')
    listed.write_text(kafka_entry("one", "k1") + kafka_entry("none", "k9") + far)
    ensure_topics(kafka_settings, [kafka_settings.topics.audio])
    with OnAir(kafka_settings, ["k1"]) as air:
        wait_until(lambda: air.sent["k1"] > 2, 30)
        end = airsift(
            "stations", "check", listed, "--format", "jsonl", *options(kafka_settings),
            "--set", "kafka.connect_timeout_s=3",
        )  # fmt: skip
    rows = {row["station"]: row for row in map(json.loads, end.stdout.splitlines())}
    assert end.returncode == 1
    assert rows["one"]["problem"] == ""
    assert (rows["one"]["codec"], rows["one"]["rate"], rows["one"]["kind"]) == (
        "audio/x-s16le", RATE, "live",
    )  # fmt: skip
    assert "no audio within 3 s" in rows["none"]["problem"]
    assert f"127.0.0.1:{port}" in rows["far"]["problem"]
