"""A past period again, and one chunk's life, on Apache Kafka."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from airsift import config
from airsift.build import build_pipeline
from airsift.cli.app import make_app
from airsift.errors import BrokerError, ConfigError
from model.weights import VOICE_WEIGHTS
from stream.audio import AudioChunk
from stream.demo.catalogue import build_catalogue
from stream.events import Labelled, Segment
from stream.kafka.client import past
from stream.kafka.client.backfill import KINDS, Published, backfill
from stream.kafka.client.chunk_trace import trace_chunk
from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.past import Period, read_period
from stream.kafka.client.producer import Producer
from stream.kafka.client.sink import KafkaSink
from stream.kafka.client.source import KafkaSource
from stream.kafka.codec.message import encode
from stream.kafka.records.consumer_record import Received
from stream.runner import Stop, run_source
from stream.sources.file import read_file
from tests.integration.brokers import settings_of
from tests.integration.source_reader import RATE, read_all

SECONDS = 245
DEMO = Path(__file__).parents[2] / "stream/demo/audio"
CHUNK_S = 0.5
OUTPUTS = ("decisions", "segments", "labels", "matches", "shares", "gaps")
# The shipped network of voices, as one of labels of your own.
OWN_LABELS = [f"model.labels_path={VOICE_WEIGHTS}", "model.voice=false"]


@pytest.fixture(scope="module")
def samples():
    """Return readers, known and unknown music and noise, in turns."""
    clips = [
        ("reader-1098", 14),
        ("starfall", 45),
        ("announcer", 20),
        ("palace", 50),
        ("wind", 12),
        ("reader-3664", 14),
        ("main-screen", 60),
        ("reader-6367", 14),
        ("reader-3983", 15),
        ("machinery", 12),
    ]
    audio = [
        read_file(DEMO / f"{name}.opus", rate=RATE)[: seconds * RATE] for name, seconds in clips
    ]
    return np.concatenate(audio)[: SECONDS * RATE]


@pytest.fixture(scope="module")
def pipeline_of(tmp_path_factory):
    shelf = tmp_path_factory.mktemp("shelf") / "catalogue"
    build_catalogue(shelf)
    sets = [f"identify.catalogue={shelf}", *OWN_LABELS]
    loaded = config.load(sets=sets, environ={}).config

    def make():
        return build_pipeline(loaded, reorder=True)

    make.options = [word for each in sets for word in ("--set", each)]
    return make


def send(settings, station, samples, first_s, *, drop=()):
    """Send a station as if it had been on air from `first_s` on."""
    ensure_topics(settings, [settings.topics.audio, *settings.topics.events.values()])
    with closing(Producer(settings)) as producer:
        step = round(CHUNK_S * RATE)
        for at in range(0, len(samples), step):
            begin_s = first_s + at / RATE
            piece = samples[at : at + step]
            message = encode(AudioChunk(station, first_s * RATE + at, piece, RATE, begin_s))
            headers = [(name, value) for name, value in message.headers if name not in drop]
            written = round((begin_s + len(piece) / RATE) * 1000)
            producer.send(settings.topics.audio, message.key, message.value, headers, None, written)
        producer.flush()


def work(settings, pipeline, until_s, stations):
    """Run a worker until it has published what it can of stations that end at `until_s`."""
    stop, left = Stop(), set(stations)
    with closing(KafkaSource(settings, rate=RATE)) as source, closing(KafkaSink(settings)) as sink:

        def progress(ends):
            left.difference_update(station for station, at in ends.items() if at >= until_s)
            if not left:
                stop.request()

        run_source(source, pipeline, [sink], checkpoint_s=0.5, stop=stop, progress=progress)


def events_of(settings):
    """Return the final events on the topics, by id; each must be there once."""
    topics = [settings.topics.events[kind] for kind in KINDS]
    read = [json.loads(record.value) for record in read_all(settings, *topics)]
    final = [event for event in read if event.get("final", True)]
    assert len({event["id"] for event in final}) == len(final)
    return {event["id"]: event for event in final}


def named(events, wanted):
    """Return the events that name music, or all others."""
    return {id_: event for id_, event in events.items() if ("track" in event) == wanted}


def is_same(event, other):
    """Return whether two events are about one playing of a track."""
    return (
        event["station"] == other["station"]
        and event["track"] == other.get("track")
        and event["start_s"] < other["end_s"]
        and other["start_s"] < event["end_s"]
    )


def again_on(settings, **topics):
    """Return the settings with other topics for events."""
    names = {kind: f"{name}.again" for kind, name in settings.topics.model_dump().items()
             if kind in OUTPUTS}  # fmt: skip
    changed = settings.topics.model_copy(update={**names, **topics})
    return settings.model_copy(update={"topics": changed})


@pytest.fixture(scope="module")
def on_air(apache_kafka, samples, pipeline_of):
    """Give settings, and the first second, of two stations that were processed."""
    settings = settings_of(apache_kafka)
    first_s = int(time.time()) - 600
    for station in ("radio", "other"):
        send(settings, station, samples, first_s)
    work(settings, pipeline_of(), first_s + SECONDS, ["radio", "other"])
    return settings, first_s


def test_a_period_again_is_that_period_of_what_was_published(on_air, pipeline_of):
    settings, first_s = on_air
    before = events_of(settings)
    period = Period((first_s + 80) * 1000, (first_s + 180) * 1000)
    elsewhere = again_on(settings)
    ensure_topics(elsewhere, list(elsewhere.topics.events.values()))
    with closing(KafkaSink(elsewhere)) as sink:
        done = backfill(settings, pipeline_of(), [sink], ["radio"], period, stop=Stop(), again=True)
    found = events_of(elsewhere)

    def in_period(event):
        begin_s = event["start_s"]
        return first_s + 80 <= begin_s < first_s + 180 and event["station"] == "radio"

    expected = {id_: event for id_, event in before.items() if in_period(event)}
    assert named(found, False) == named(expected, False)
    # Where a match begins depends on when the matcher was queried, what plays does not.
    assert {e["track"] for e in named(found, True).values()} == {"main-screen"}
    for event in named(found, True).values():
        assert [e for e in before.values() if is_same(event, e)]
    kinds = {event["schema"] for event in found.values()}
    assert {"airsift.decision/1", "airsift.segment/1", "airsift.label/1"} <= kinds
    assert sum(done.published.values()) == len(found)
    assert done.unfinished == done.refused == 0


def test_nothing_doubles(on_air, pipeline_of):
    settings, first_s = on_air
    before = events_of(settings)
    period = Period((first_s + 60) * 1000, (first_s + SECONDS) * 1000)
    with closing(KafkaSink(settings)) as sink:
        done = backfill(settings, pipeline_of(), [sink], ["radio", "other"], period, stop=Stop())
    assert not done.published
    assert sum(done.there.values()) > 300
    assert done.there["match"] >= 4
    assert done.there["label"] >= 4
    assert events_of(settings) == before


def test_what_is_missing_is_published(apache_kafka, samples, pipeline_of, on_air):
    original, first_s = on_air
    settings = settings_of(apache_kafka)
    send(settings, "radio", samples, first_s)
    ensure_topics(settings, [*settings.topics.events.values()])
    period = Period(first_s * 1000, (first_s + SECONDS) * 1000)
    arguments = [
        *("backfill", "--station", "radio"),
        *("--from", f"@{first_s}", "--until", f"@{first_s + SECONDS}"),
        *("--kafka", settings.bootstrap_servers),
        *pipeline_of.options,
    ]
    for kind, name in settings.topics.model_dump().items():
        arguments += ["--set", f"kafka.topics.{kind}={name}"]
    result = CliRunner().invoke(make_app("backfill"), arguments)
    assert result.exit_code == 0, result.output
    assert "published" in result.output
    found = events_of(settings)
    whole = {i: e for i, e in events_of(original).items() if e["station"] == "radio"}
    assert named(found, False) == named(whole, False)
    assert {e["track"] for e in named(found, True).values()} == {
        "starfall",
        "palace",
        "main-screen",
    }
    # Another one finds nothing to do.
    with closing(KafkaSink(settings)) as sink:
        done = backfill(settings, pipeline_of(), [sink], ["radio"], period, stop=Stop())
    assert not done.published


def test_stations_whose_ids_would_differ_are_refused(apache_kafka, samples, pipeline_of):
    settings = settings_of(apache_kafka)
    first_s = int(time.time()) - 300
    send(settings, "radio", samples[: 20 * RATE], first_s, drop=("start_sample",))
    period = Period(first_s * 1000, (first_s + 20) * 1000)
    with pytest.raises(ConfigError, match="without start_sample"):
        backfill(settings, pipeline_of(), [], ["radio"], period, stop=Stop())


def test_a_station_that_counts_anew_is_refused(apache_kafka, samples, pipeline_of):
    settings = settings_of(apache_kafka)
    first_s = int(time.time()) - 300
    ensure_topics(settings, [settings.topics.audio])
    send(settings, "radio", samples[: 60 * RATE], first_s)
    work(settings, pipeline_of(), first_s + 60, ["radio"])
    # The same audio counted from 0, as by an encoder that has restarted.
    other = settings_of(apache_kafka)
    topics = other.topics.model_copy(update={k: v for k, v in settings.topics if k in
             OUTPUTS})  # fmt: skip
    other = other.model_copy(update={"topics": topics})
    ensure_topics(other, [topics.audio])
    with closing(Producer(other)) as producer:
        for at in range(60):
            piece = samples[at * RATE : (at + 1) * RATE]
            message = encode(AudioChunk("radio", at * RATE, piece, RATE, first_s + at))
            producer.send(topics.audio, *message, None, (first_s + at + 1) * 1000)
        producer.flush()
    period = Period((first_s + 20) * 1000, (first_s + 50) * 1000)
    with pytest.raises(ConfigError, match="begun to count anew"):
        backfill(other, pipeline_of(), [], ["radio"], period, stop=Stop())


def test_a_period_has_the_messages_of_its_timestamps(on_air):
    settings, first_s = on_air
    period = Period((first_s + 100) * 1000, (first_s + 101) * 1000)
    read = [
        record
        for records in read_period(
            settings, [settings.topics.audio, "no-topic"], period, stop=Stop()
        )
        for record in records
    ]
    assert {record.timestamp in period for record in read} == {True}
    assert sorted(record.key for record in read) == [b"other"] * 2 + [b"radio"] * 2


def test_another_producer_with_a_wrong_clock_ends_no_period(apache_kafka, monkeypatch):
    settings = settings_of(apache_kafka)
    topics = settings.topics.model_copy(update={"partitions": 1})
    settings = settings.model_copy(update={"topics": topics})
    ensure_topics(settings, [topics.audio])
    now_ms = round(time.time() * 1000)
    with closing(Producer(settings)) as producer:
        for i in range(40):
            ahead_ms = 1_800_000 if i % 2 else 0
            key = b"ahead" if i % 2 else b"right"
            at_ms = now_ms - 100_000 + 1000 * i + ahead_ms
            producer.send(topics.audio, key, b"%d" % i, [], None, at_ms)
        producer.flush()
    period = Period(now_ms - 90_000, now_ms - 80_000)

    def values(keys):
        read = read_period(settings, [topics.audio], period, stop=Stop(), keys=keys)
        return [int(record.value) for records in read for record in records]

    # From the first message of anybody on: its own of before the period are read along.
    assert values([b"right"]) == list(range(2, 20, 2))
    assert values([b"ahead"]) == []
    assert values([b"right", b"ahead", b"nobody"]) == list(range(2, 20, 2))
    monkeypatch.setattr(past, "MAX_BEHIND", 2)  # the right ones break each row
    assert values([b"right"]) == list(range(2, 20, 2))
    monkeypatch.setattr(past, "MAX_BEHIND", 1)
    assert values([b"right"]) == []


def test_a_chunk_has_its_message_events_and_snapshot(on_air):
    settings, first_s = on_air
    at_s = first_s + 100.3
    # The worker came minutes later than the audio.
    traced = trace_chunk(settings, "radio", at_s, within_s=3600, stop=Stop())
    assert traced.begin_s == first_s + 100
    assert traced.end_s == first_s + 100 + CHUNK_S
    assert traced.message.where.startswith(f"{settings.topics.audio}[")
    kinds = [line.what for line in traced.lines]
    finals = [e for line in traced.lines if (e := line.event) and e.get("final", True)]
    decisions = [e for e in finals if e["schema"] == "airsift.decision/1"]
    # Windows of 5 s begin each second: those that begin from 95 s on end after 100 s.
    assert sorted(e["start_s"] - first_s for e in decisions) == [96, 97, 98, 99, 100]
    [segment] = [e for e in finals if e["schema"] == "airsift.segment/1"]
    assert segment["start_s"] <= at_s < segment["end_s"]
    assert kinds.count("stored") == 1
    assert [line.time_ms for line in traced.lines] == sorted(line.time_ms for line in traced.lines)
    assert all(line.time_ms >= traced.message.time_ms for line in traced.lines)


def test_the_command_prints_it(on_air):
    settings, first_s = on_air
    arguments = ["trace", "radio", f"@{first_s + 100}", "--within", "3600"]
    arguments += ["--kafka", settings.bootstrap_servers, "--set", f"kafka.group={settings.group}"]
    for kind, name in settings.topics.model_dump().items():
        arguments += ["--set", f"kafka.topics.{kind}={name}"]
    text = CliRunner().invoke(make_app("trace"), arguments).output.splitlines()
    rows = CliRunner().invoke(make_app("trace"), [*arguments, "--json"]).output.splitlines()
    assert len(text) == len(rows) > 7
    assert "message" in text[0]
    assert json.loads(rows[0])["delay_s"] == 0
    assert {json.loads(row)["what"] for row in rows} >= {"message", "decision", "segment", "stored"}


@pytest.mark.parametrize(
    ("station", "off_s", "message"),
    [("nobody", 100, "nor any other"), ("radio", -50, "has no message")],
)
def test_a_chunk_that_is_not_there_is_reported_with_what_is(on_air, station, off_s, message):
    settings, first_s = on_air
    with pytest.raises(BrokerError, match=message):
        trace_chunk(settings, station, first_s + off_s, within_s=5, stop=Stop())


def published(*events):
    found = Published()
    for event in events:
        found.add(Received("t", 0, 0, 0, b"a", event.to_bytes(), ()))
    return found


def segment(start_s, end_s, label="music", *, final=True):
    return Segment("a", start_s * RATE, end_s * RATE, RATE, 1e9 + start_s, label, 0.9, final)


def label(start_s, end_s, name="applause"):
    return Labelled("a", start_s * RATE, end_s * RATE, RATE, 1e9 + start_s, name, 0.9, True)


@pytest.mark.parametrize(
    ("event", "is_there"),
    [
        (segment(10, 20), True),
        (segment(12, 22), True),  # the same, which begins elsewhere
        (segment(20, 30), False),
        (segment(5, 10), False),
        (segment(12, 18, "speech"), False),
        (segment(40, 50), False),  # there it is open
        (label(12, 18), True),
        (label(12, 18, "advert"), False),
        (label(12, 18, "music"), False),  # there it is a segment
    ],
)
def test_what_says_the_same_of_the_same_audio_is_there(event, is_there):
    there = published(segment(10, 20), segment(40, 45, final=False), label(10, 20))
    assert there.has(event) == is_there


@pytest.mark.parametrize("value", [None, b"", b"\0\0\0\0\1x", b"[]", b"{}", b'{"time": 1}'])
def test_what_is_no_event_counts_for_nothing(value):
    found = Published()
    found.add(Received("t", 0, 0, 0, b"a", value, ()))
    assert found == Published()
