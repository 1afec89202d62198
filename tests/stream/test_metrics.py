from __future__ import annotations

import http.client
import os
import subprocess
import sys
from collections import Counter
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from airsift import config
from stream.alarms.delivery import DeliveryError, Target
from stream.alarms.rules import AlarmPlan
from stream.alarms.settings import AlarmSettings
from stream.alarms.sink import AlarmSink
from stream.audio import AudioChunk
from stream.kafka.loopback import free_ports
from stream.pipeline import Pipeline
from stream.runner import Stop, run_source
from stream.sources.base import Lost, Resumed, Source
from stream.stages.alarms import WatchAlarms
from stream.stages.identify import Identify
from stream.stages.levels import Levels
from stream.stages.matchers import for_all
from stream.stages.work_budget import KINDS
from stream.telemetry.activity import Activity
from stream.telemetry.telemetry import Telemetry
from stream.testing import (
    ListSink,
    ListSource,
    ManualClock,
    programme,
    tone,
    write_wav,
)
from tests.examples import examples
from tests.stream.doubles import SMOOTH
from tests.stream.networks import FRONT_END
from tests.stream.sample_matcher import TIMES, SampleMatcher
from tests.waiting import wait_until

RATE = 16000
NO_AUDIO = np.zeros(0, np.float32)


def watch_config(**changed):
    return config.load(environ={}).config.watch.model_copy(update=changed)


def read(watch):
    """Return every sample, as Prometheus reads it."""
    text = generate_latest(watch.metrics.registry).decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def chunks_of(*stations):
    return [AudioChunk(station, 0, NO_AUDIO, RATE) for station in stations]


class BusySource(ListSource):
    queued, lag = 3, 41


class BusySink(ListSink):
    queued = 11


def test_metrics_equal_the_run(classifier):
    samples = programme(40)
    pieces = [(0, 10), (10, 20), (10, 20), (15, 25), (27, 40)]  # repeated, overlapping, missing
    batches = [
        [AudioChunk("a", a * RATE, samples[a * RATE : b * RATE], RATE, time=5000.0 + a)]
        for a, b in pieces
    ]
    source, sink = BusySource(batches), BusySink(refusals=4)
    source.counts = Counter(messages=7, dead_letters=2)
    pipeline = Pipeline(FRONT_END, classifier, SMOOTH)
    watch = Telemetry(watch_config(), wall=lambda: 5100.0)
    watch.bind(source, pipeline, [sink])
    run_source(source, pipeline, [sink], checkpoint_s=1e-9, stop=Stop(), observer=watch)

    values = read(watch)
    kinds = Counter(event.kind for event in sink.events)
    labels = Counter(e.label for e in sink.events if e.kind == "segment" and e.final)
    assert kinds["decision"]
    assert labels
    for kind in ("decision", "segment", "match", "gap"):
        of_kind = [e for e in sink.events if e.kind == kind]
        delays = [100.0 - e.end / RATE for e in of_kind]
        assert values["airsift_events_total", ("kind", kind)] == len(of_kind)
        assert values["airsift_latency_seconds_count", ("kind", kind)] == len(of_kind)
        assert values["airsift_latency_seconds_sum", ("kind", kind)] == pytest.approx(sum(delays))
    for label in ("speech", "music", "speech_over_music", "other"):
        assert values["airsift_segments_total", ("label", label)] == labels[label]
    reported = {
        "chunks_total": 5,
        "chunks_dropped_total": 1,
        "chunks_trimmed_total": 1,
        "gaps_total": 1,
        "audio_seconds_total": 53,
        "turns_total": 6,
        "backpressure_waits_total": 4,
        "dead_letters_total": 2,
        "kafka_messages_total": 7,
        "kafka_rebalances_total": 0,
        "lag_messages": 41,
        "stations_live": 1,
        "stations_silent": 0,
        "ready": 1,
    }
    assert {name: values[f"airsift_{name}",] for name in reported} == reported
    assert values["airsift_queue_depth", ("queue", "source")] == 3
    assert values["airsift_queue_depth", ("queue", "sink")] == 11
    calls = {"align": 6, "classify": 6, "identify": 0, "flush": 6, "settle": 6}
    for stage, count in calls.items():
        assert values["airsift_stage_seconds_count", ("stage", stage)] == count
    assert 0 < values["airsift_stage_seconds_sum", ("stage", "columns")] < 60


def test_being_watched_changes_nothing(classifier):
    batch = [AudioChunk("a", 0, programme(30), RATE)]
    reported = []
    for watch in (None, Telemetry(watch_config())):
        source, sink = ListSource([batch]), ListSink()
        pipeline = Pipeline(FRONT_END, classifier, SMOOTH)
        if watch is not None:
            watch.bind(source, pipeline, [sink])
        observer = {} if watch is None else {"observer": watch}
        run_source(source, pipeline, [sink], checkpoint_s=9, stop=Stop(), **observer)
        reported.append(sink.events)
    assert reported[0] == reported[1] != []


def test_clocks_that_differ_give_no_negative_latency(classifier):
    watch = Telemetry(watch_config(), wall=lambda: 1.0)
    batch = [AudioChunk("a", 0, programme(10), RATE, time=5000.0)]
    events = Pipeline(FRONT_END, classifier, SMOOTH).push(batch)
    watch.on_batch(batch, events)
    values = read(watch)
    assert values["airsift_latency_seconds_count", ("kind", "decision")] > 0
    assert values["airsift_latency_seconds_sum", ("kind", "decision")] == 0


@pytest.mark.parametrize("most", [0, 5])
def test_series_do_not_grow_with_the_stations(most):
    watch = Telemetry(watch_config(station_series=most))
    watch.on_batch(chunks_of("one"), [])
    with_one = len(read(watch))
    watch.on_batch(chunks_of(*(f"station {n}" for n in range(20_000))), [])
    values = read(watch)
    assert values["airsift_stations_live",] == 20_001
    assert len(values) == with_one + max(most - 1, 0)


def test_a_station_of_its_own_series_with_an_odd_name():
    watch = Telemetry(watch_config(station_series=5))
    name = 'a "b"\\\nc'
    watch.on_batch(chunks_of(name), [])
    assert ("airsift_station_age_seconds", ("station", name)) in read(watch)


def test_silent_and_active_again(caplog):
    clock = ManualClock(1000.0)
    stations = Activity(30.0, 100.0, clock)

    def pass_s(seconds, *names):
        for _ in range(seconds):
            clock.now += 1
            stations.on_batch(chunks_of(*names))
            stations.sweep()
        return stations.live, stations.silent

    caplog.set_level("INFO")
    assert pass_s(1, "a", "b") == (2, 0)
    assert pass_s(30, "a") == (2, 0)
    assert pass_s(1, "a") == (1, 1)
    assert pass_s(1, "a", "b") == (2, 0)
    assert pass_s(31, "a") == (1, 1)
    assert pass_s(69, "a") == (1, 1)
    assert pass_s(1, "a") == (1, 0)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "silent for 31 s",
        "is live again",
        "silent for 31 s",
        "no longer counted as a station",
    ]
    assert {record.station for record in caplog.records} == {"b"}


def test_a_station_that_falls_silent_while_its_worker_restarts_is_noticed():
    clock = ManualClock(1000.0)
    stations = Activity(30.0, 100.0, clock)
    stations.on_batch([Resumed("a", {})])
    for _ in range(31):
        clock.now += 1
        stations.on_batch([])
    stations.sweep()
    assert (stations.live, stations.silent) == (0, 1)


def test_silent_stations_are_named_those_silent_for_longest():
    clock = ManualClock()
    watch = Telemetry(watch_config(silent_series=2), now=clock)
    watch.on_batch(chunks_of("a", "b", "c", 'd "\n'), [])
    for live in (["a", "b", "c"], ["a", "b"], ["a"], ["a"]):
        for _ in range(20):
            clock.now += 1
            watch.on_batch(chunks_of(*live), [])
    name = "airsift_station_silent_seconds"
    silent = {key[1][1]: age for key, age in read(watch).items() if key[0] == name}
    assert silent == {'d "\n': 80, "c": 60}
    assert read(watch)["airsift_stations_silent",] == 3
    watch.on_batch(chunks_of("c", 'd "\n'), [])
    silent = {key[1][1]: age for key, age in read(watch).items() if key[0] == name}
    assert silent == {"b": 40}


def test_expected_stations_are_missing_until_some_worker_receives_them():
    """As the alert AirsiftStationMissing asks: expected, and live nowhere."""
    clock = ManualClock()
    named = watch_config(expected=("a", "b", "never"))
    workers = [Telemetry(named, now=clock) for _ in range(2)]

    def missing():
        values = [read(each) for each in workers]
        with_name = [(key, v) for each in values for key, v in each.items() if len(key) == 2]
        expected = {k[1][1] for k, v in with_name if k[0] == "airsift_station_expected" and v}
        live = {k[1][1] for k, v in with_name if k[0] == "airsift_station_live" and v == 1}
        return expected - live

    assert missing() == {"a", "b", "never"}
    workers[0].on_batch(chunks_of("a", "another"), [])
    workers[1].on_batch(chunks_of("b"), [])
    assert missing() == {"never"}
    workers[1].on_batch([Lost("b")], [])  # it moves
    assert missing() == {"b", "never"}
    workers[0].on_batch(chunks_of("b"), [])
    assert missing() == {"never"}
    for _ in range(40):
        clock.now += 1
        workers[0].on_batch(chunks_of("b"), [])
    assert missing() == {"a", "never"}


def test_an_expected_station_that_is_listed_twice_is_one_series():
    loaded = config.load(sets=['watch.expected=["a", "b", "a"]'], environ={}).config.watch
    assert loaded.expected == ("a", "b")


def test_a_loop_that_was_held_up_makes_no_station_silent():
    clock = ManualClock(1000.0)
    stations = Activity(30.0, 100.0, clock)
    stations.on_batch(chunks_of("a"))
    clock.now += 3600
    stations.on_batch([])
    stations.sweep()
    assert stations.live == 1


@examples(60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.5, 2.0]),
            st.frozensets(st.sampled_from("abc")),
            st.frozensets(st.sampled_from("abc")),
        ),
        max_size=60,
    )
)
def test_live_and_silent_are_as_by_the_book(turns):
    clock = ManualClock(1000.0)
    stations, last = Activity(3.0, 7.0, clock), {}
    for passed, names, lost in turns:
        clock.now += passed
        stations.on_batch([*map(Lost, lost), *chunks_of(*names)])
        stations.sweep()
        last = {s: at for s, at in last.items() if s not in lost and clock.now - at <= 7.0}
        last |= dict.fromkeys(names, clock.now)
        silent = sum(clock.now - at > 3.0 for at in last.values())
        assert (stations.live, stations.silent) == (len(last) - silent, silent)
        assert dict(stations.ages_s(9)) == {s: clock.now - at for s, at in last.items()}


def ask(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


def wait_for(port, path, enough):
    """Return the first answer to a GET that is enough."""
    return wait_until(lambda: answer if enough(answer := ask(port, path)) else None)


@pytest.mark.process
def test_a_run_whose_reader_stops_reading(tmp_path):
    path, [port] = tmp_path / "long.wav", free_ports(1)
    write_wav(path, np.zeros(RATE * 1800, np.float32))
    sets = [f"watch.port={port}", "watch.stall_s=1", "file.chunk_s=10", "watch.log=json"]
    command = [sys.executable, "-m", "airsift", "run", "--source", str(path), "--sink", "jsonl:-"]
    with subprocess.Popen(
        [*command, *(word for each in sets for word in ("--set", each))],
        env={k: v for k, v in os.environ.items() if not k.startswith("AIRSIFT_")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            # Half an hour of events does not fit into a pipe: the loop must stall.
            wait_for(port, "/readyz", lambda answer: answer[0] == 200)
            wait_for(port, "/healthz", lambda answer: answer[0] == 503)
            text = ask(port, "/metrics")[1]
            assert [ask(port, where)[0] for where in ("/healthz", "/readyz")] == [503, 503]
            assert "airsift_ready 0.0" in text
            assert 'airsift_events_total{kind="decision"} 0.0' not in text
            assert "airsift_stations_live 1.0" in text
            assert "airsift_audio_seconds_total 0.0" not in text
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 0
    assert out.count(b"airsift.decision/1") == 1797  # windows, and the early decision
    assert b"metrics and health on 127.0.0.1" in err
    assert b"Traceback" not in err


class Bare(Source):
    def __iter__(self):
        return iter(())


def test_a_source_without_counts_or_queues_has_zeros(classifier):
    watch = Telemetry(watch_config())
    watch.bind(Bare(), Pipeline(FRONT_END, classifier, SMOOTH), [])
    watch.on_batch([], [])
    values = read(watch)
    assert values["airsift_dead_letters_total",] == values["airsift_lag_messages",] == 0


def test_levels_are_gauges_of_stations_and_their_faults_are_counted(classifier):
    pipeline = Pipeline(FRONT_END, classifier, SMOOTH, levels=Levels(RATE))
    chunks = []
    for name, right in (("a", 1.0), ("b", 0.0)):
        left = tone(6)
        samples = np.stack([left, right * left], axis=1)
        chunks.append(AudioChunk(name, 0, samples, RATE))
    pipeline.push(chunks)
    for series in (0, 1, 2):
        watch = Telemetry(watch_config(station_series=series))
        watch.bind(ListSource([]), pipeline, [])
        watch.on_batch([], [])
        values = read(watch)
        assert values["airsift_stations_faulty", ("fault", "dead_channel")] == 1
        assert values["airsift_stations_faulty", ("fault", "frozen")] == 0
        shown = {k[1:] for k in values if k[0] == "airsift_station_level_dbfs"}
        assert shown == {(("station", name),) for name in "ab"[:series]}
    assert values["airsift_station_level_dbfs", ("station", "a")] == -9.03
    assert values["airsift_station_level_dbfs", ("station", "b")] == -12.04
    assert values["airsift_station_correlation", ("station", "a")] == 1
    assert ("airsift_station_correlation", ("station", "b")) not in values
    dead = ("airsift_station_fault", ("fault", "dead_channel"))
    assert values[(*dead, ("station", "b"))] == 1
    assert values[(*dead, ("station", "a"))] == 0


def skipped(watch):
    values = read(watch)
    return [values["airsift_queries_skipped_total", ("query", kind)] for kind in KINDS]


def test_queries_that_a_budget_left_out_are_counted_by_kind(classifier):
    watch = Telemetry(watch_config())
    identify = Identify(for_all(SampleMatcher()), TIMES)
    for pipeline in (
        Pipeline(FRONT_END, classifier, SMOOTH),
        Pipeline(FRONT_END, classifier, SMOOTH, identify),
    ):
        watch.bind(ListSource([]), pipeline, [])
        assert skipped(watch) == [0, 0, 0]
    identify.paid.skipped.update({"warp": 3, "long": 1})
    assert skipped(watch) == [0, 1, 3]


def test_stations_that_drift_are_counted_without_series_of_their_own(classifier):
    watch = Telemetry(watch_config())
    pipeline = Pipeline(FRONT_END, classifier, SMOOTH)
    watch.bind(ListSource([]), pipeline, [])
    pipeline.clock.drifts_ppm = lambda: [("a", 199.0), ("b", -250.0), ("c", 200.0)]
    watch.on_batch([], [])
    assert read(watch)["airsift_stations_drifting",] == 2


def test_alarms_and_messages_about_them_are_counted(classifier):
    settings = AlarmSettings.default(
        command={"run": ["/no/such/program"], "min_severity": "warning"}
    )
    plan = AlarmPlan(settings, RATE)
    pipeline = Pipeline(
        FRONT_END, classifier, SMOOTH, levels=Levels(RATE, each_second=True),
        alarms=WatchAlarms(lambda: plan, RATE),
    )  # fmt: skip
    sink = AlarmSink([Nobody()], settings, pipeline.open_alarms)
    with closing(sink):
        events = pipeline.push([AudioChunk("a", 0, np.zeros(20 * RATE, np.float32), RATE)])
        sink.write(events)
        wait_until(lambda: sink.deliveries["command", "refused"], 10)
        watch = Telemetry(watch_config())
        watch.bind(ListSource([]), pipeline, [sink])
        watch.on_batch([], events)
        values = read(watch)
    assert values["airsift_alarms_open", ("rule", "dead_air")] == 1
    assert values["airsift_alarms_open", ("rule", "gone")] == 0
    sent = "airsift_alarm_messages_total"
    assert values[sent, ("outcome", "refused"), ("target", "command")] == 1
    assert values[sent, ("outcome", "delivered"), ("target", "command")] == 0
    assert values["airsift_alarm_queue", ("target", "command")] == 0
    assert values["airsift_events_total", ("kind", "alarm")] == 1


class Nobody(Target):
    kind, name, min_severity = "command", "nobody", "warning"

    def send(self, alarm):
        raise DeliveryError("there is nobody", is_final=True)
