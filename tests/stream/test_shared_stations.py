"""Stations of Kafka in a list: what is committed is processed, and others are not disturbed."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import BrokerError
from stream.audio import AudioChunk
from stream.events import Event
from stream.runner import Stop, run_source
from stream.snapshot import StoredSnapshot
from stream.sources.base import Lost, Resumed, SelectiveSource, Source, SourceItem
from stream.sources.settings import HttpSettings, MicrophoneSettings
from stream.stations.entry import StationEntry, read_stations
from stream.stations.source import KafkaStations, StationsSource
from stream.testing import ListSink
from tests.examples import examples
from tests.stream.doubles import PipelineDouble, snapshot
from tests.waiting import wait_until

RATE = 8_000
HTTP = HttpSettings.default(max_backoff_s=0.02)
KAFKA = MicrophoneSettings.default()  # any section: what it says is only passed on


@dataclass
class Topic:
    """Messages of a few keys in turns, and what a group has stored and committed."""

    keys: tuple[str, ...] = ("k0", "k1", "k2")
    length: int = 60
    committed: int = 0
    stored: dict[str, StoredSnapshot] = field(default_factory=dict)
    fails_at: set[int] = field(default_factory=set)  # offsets, each once
    given: dict[str, str] = field(default_factory=dict)  # marks of chunks, and their stations
    processed: set[str] = field(default_factory=set)  # those that the loop has processed
    violations: list[str] = field(default_factory=list)
    commits: int = 0
    opened: int = 0
    selected: list[dict[str, str]] = field(default_factory=list)
    blocked: threading.Event | None = None  # is waited for where a commit would be


class TopicSource(SelectiveSource):
    """Reads a topic as `KafkaSource` does: what it has given must be processed when it goes on."""

    resumable = True

    def __init__(self, topic: Topic, stations: Mapping[str, str]) -> None:
        self.topic, self.names = topic, {key: name for name, key in stations.items()}
        topic.opened += 1
        topic.given = {}
        topic.selected.append(dict(stations))
        self.at = topic.committed

    def __iter__(self) -> Iterator[list[SourceItem]]:
        known = [s for s in sorted(self.topic.stored) if s in self.names.values()]
        yield self.give([Resumed(s, self.topic.stored[s]) for s in known])
        while True:
            if self.at in self.topic.fails_at:
                self.topic.fails_at.remove(self.at)
                raise BrokerError("the broker is away")
            batch = list[SourceItem]()
            for _ in range(1 + self.at % 3):
                if self.at < self.topic.length:
                    key = self.topic.keys[self.at % len(self.topic.keys)]
                    if key in self.names:
                        samples = np.full(RATE, self.at, np.float32)
                        name = self.names[key]
                        mark = f"{self.topic.opened}:{self.at}"
                        batch.append(
                            AudioChunk(name, self.at * RATE, samples, RATE, gap_reason=mark)
                        )
                    self.at += 1
            if not batch:
                time.sleep(0.005)
            yield self.give(batch)

    def give(self, items: list[SourceItem]) -> list[SourceItem]:
        self.check("asked for more")
        self.topic.given |= {i.gap_reason: i.station for i in items if isinstance(i, AudioChunk)}
        return items

    def check(self, what: str) -> None:
        missing = self.topic.given.keys() - self.topic.processed
        self.topic.violations += [f"{what} before {mark} was processed" for mark in missing]

    def select(self, stations: Mapping[str, str]) -> None:
        self.names = {key: name for name, key in stations.items()}
        self.topic.given = {m: s for m, s in self.topic.given.items() if s in stations}
        self.topic.stored = {s: e for s, e in self.topic.stored.items() if s in stations}
        self.topic.selected.append(dict(stations))

    def checkpoint(self, snapshots: Mapping[str, StoredSnapshot]) -> None:
        if self.topic.blocked is not None:
            self.topic.blocked.wait(20)
        self.check("committed")
        self.topic.stored |= snapshots
        self.topic.committed = self.at
        self.topic.commits += 1


def write(path: Path, names: Mapping[str, str], extra: str = "") -> None:
    entries = [f'[[stations]]\nname = "{n}"\nsource = "kafka:{key}"\n' for n, key in names.items()]
    path.write_text("".join(entries) + extra, encoding="utf-8")


class Tape(Source):
    """A file that is never over, or is over at once."""

    def __init__(self, name: str, hold: threading.Event) -> None:
        self.name, self.hold = name, hold

    def __iter__(self) -> Iterator[list[AudioChunk]]:
        at = 0
        while not self.hold.wait(0.02):
            yield [AudioChunk(self.name, at * RATE, np.zeros(RATE, np.float32), RATE)]
            at += 1


def opened(
    path: Path, topics: Mapping[str, Topic], tape: threading.Event | None = None
) -> StationsSource:
    def open_kafka(entry: StationEntry, stations: Mapping[str, str]) -> TopicSource:
        return TopicSource(topics[str(entry.kafka.get("device", ""))], stations)

    kafka = KafkaStations(KAFKA, open_kafka, 0.02)
    hold = tape or threading.Event()
    return StationsSource(path, lambda entry: Tape(entry.name, hold), HTTP, kafka)


@dataclass
class Loop:
    """Takes items as the runner does, and knows what it has processed of each station."""

    topics: Mapping[str, Topic]
    seen: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    kinds: dict[str, str] = field(default_factory=lambda: defaultdict(str))
    changed: set[str] = field(default_factory=set)

    def step(self, source: StationsSource, items: list[SourceItem], *, checkpoint: bool) -> None:
        for item in items:
            if isinstance(item, AudioChunk) and not item.ends:
                self.seen[item.station].append(item.start // RATE)
                for topic in self.topics.values():
                    topic.processed.add(item.gap_reason)
                self.changed.add(item.station)
            if isinstance(item, Lost):
                self.changed.discard(item.station)
            ends = isinstance(item, AudioChunk) and item.ends
            self.kinds[item.station] += "E" if ends else type(item).__name__[0]
        if checkpoint or source.wants_checkpoint:
            known = [s for s in sorted(self.changed) if source.resumes(s)]
            source.checkpoint({s: snapshot(self.seen[s][-1] + 1) for s in known})
            self.changed.clear()


@pytest.mark.slow
@examples(15)
@given(
    fails_at=st.sets(st.integers(0, 59), max_size=4),
    turns=st.lists(st.integers(1, 25), max_size=3),
    checkpoints=st.lists(st.booleans(), min_size=1, max_size=10),
)
def test_what_is_committed_was_processed_and_a_restart_goes_on_there(
    tmp_path_factory: pytest.TempPathFactory,
    fails_at: set[int],
    turns: list[int],
    checkpoints: list[bool],
) -> None:
    path = tmp_path_factory.mktemp("list") / "stations.toml"
    write(path, {"a": "k0", "b": "k1"})  # nobody wants k2
    topic = Topic(fails_at=fails_at)
    loop = Loop({"": topic})
    for limit in [*turns, 10_000]:  # each ends with a crash but the last
        loop.changed.clear()
        with closing(opened(path, loop.topics)) as source:
            deadline = time.monotonic() + 30
            for turn, items in enumerate(source):
                loop.step(source, items, checkpoint=checkpoints[turn % len(checkpoints)])
                if turn >= limit or topic.committed == topic.length:
                    break
                assert time.monotonic() < deadline, topic
        assert topic.committed <= topic.length
    for number, station in enumerate("ab"):
        assert set(loop.seen[station]) == set(range(number, 60, 3))
        # Within one opening, each comes once and in order; it is resumed from its own snapshot.
        assert topic.stored[station].oldest == loop.seen[station][-1] + 1
    assert "c" not in loop.seen
    assert topic.violations == []
    assert topic.opened >= 1 + len(turns)


def test_stations_of_a_topic_are_added_and_removed_while_others_go_on(tmp_path: Path) -> None:
    path, topic = tmp_path / "list", Topic(length=10**6)
    write(path, {"a": "k0", "b": "k1"})
    loop = Loop({"": topic})
    with closing(opened(path, loop.topics)) as source:
        reading = iter(source)

        def run_until(condition: str) -> None:
            deadline = time.monotonic() + 20
            while not eval(condition, {"loop": loop, "topic": topic}):
                loop.step(source, next(reading), checkpoint=False)
                assert time.monotonic() < deadline, condition

        run_until("len(loop.seen['a']) > 3 and len(loop.seen['b']) > 3 and topic.stored")
        write(path, {"a": "k0", "c": "k2"})
        source.reload()
        run_until("len(loop.seen['c']) > 3 and topic.stored.get('c')")
        assert loop.kinds["b"].endswith("AEL")
        assert set(loop.kinds["a"]) == {"A"}
        assert loop.seen["a"] == list(range(0, 3 * len(loop.seen["a"]), 3))
        assert "b" not in topic.stored
        assert topic.opened == 1
        # Under another name, a key is another station.
        write(path, {"d": "k0"})
        source.reload()
        run_until("len(loop.seen['d']) > 3")
        assert loop.kinds["a"].endswith("AEL")
        write(path, {}, '[[stations]]\nname = "tape"\nsource = "tape.wav"\n')
        source.reload()
        run_until("loop.kinds['d'].endswith('AEL') and len(loop.seen['tape']) > 3")
        assert not source.resumes("d")
        run_until("topic.stored == {}")
    assert topic.violations == []


def test_a_station_may_become_one_of_kafka_and_go_back(tmp_path: Path) -> None:
    path, topic, hold = tmp_path / "list", Topic(length=10**6), threading.Event()
    loop = Loop({"": topic})
    tape = '[[stations]]\nname = "x"\nsource = "x.wav"\n'
    write(path, {"a": "k0"}, tape)
    with closing(opened(path, loop.topics, hold)) as source:
        reading = iter(source)

        def run_until(condition: str) -> None:
            deadline = time.monotonic() + 20
            while not eval(condition, {"loop": loop, "source": source}):
                loop.step(source, next(reading), checkpoint=False)
                assert time.monotonic() < deadline, condition

        run_until("len(loop.seen['x']) > 2")
        assert not source.resumes("x")
        write(path, {"a": "k0", "x": "k1"})
        source.reload()
        run_until("source.resumes('x') and loop.kinds['x'].count('L') == 1")
        run_until("loop.kinds['x'].endswith('LAA')")
        write(path, {"a": "k0"}, tape)
        source.reload()
        run_until("loop.kinds['x'].count('L') == 2 and loop.kinds['x'].endswith('LAA')")
        assert loop.kinds["x"].replace("EL", "|").strip("A") == "|A|".replace(
            "A", "A" * loop.kinds["x"].split("EL")[1].count("A")
        )


def test_a_broken_broker_is_its_own_stations_affair(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "list"
    broken = Topic(length=10**6, blocked=threading.Event())
    well = Topic(length=10**6)
    extra = '[[stations]]\nname = "far"\nsource = "kafka:k0"\nkafka = { device = "far" }\n'
    write(path, {"near": "k0"}, f'{extra}[[stations]]\nname = "tape"\nsource = "t.wav"\n')
    loop = Loop({"": well, "far": broken})
    with closing(opened(path, loop.topics)) as source:
        deadline = time.monotonic() + 20
        for items in source:
            loop.step(source, items, checkpoint=False)
            assert time.monotonic() < deadline
            if well.commits >= 3 and len(loop.seen["tape"]) > 5 and loop.seen["far"]:
                break
        assert broken.commits == 0  # it hangs, and the others went on
        assert broken.blocked is not None
        broken.fails_at = set(range(10**4))
        broken.blocked.set()
        commits = well.commits
        for items in source:
            loop.step(source, items, checkpoint=False)
            assert time.monotonic() < deadline
            if source.failing and well.commits > commits + 3:
                break
        assert source.failing == 1
    assert "no audio of far: the broker is away" in caplog.text
    assert caplog.text.count("no audio of far") == 1


class Sessions(PipelineDouble):
    """A pipeline that knows its stations, and what ended."""

    def __init__(self, topic: Topic) -> None:
        super().__init__()
        self.topic, self.ended = topic, list[str]()

    def push(self, chunks: Sequence[AudioChunk], *, last: bool = False) -> list[Event]:
        super().push(chunks)
        for chunk in chunks:
            self.ended += [chunk.station] * bool(chunk.ends)
            self.topic.processed.add(chunk.gap_reason)
        if last:
            self.ended += list(self.sessions)
        return []


def test_a_stop_ends_what_cannot_be_resumed_and_nothing_else(tmp_path: Path) -> None:
    path, topic, stop = tmp_path / "list", Topic(length=10**6), Stop()
    write(path, {"a": "k0"}, '[[stations]]\nname = "tape"\nsource = "t.wav"\n')
    pipeline = Sessions(topic)

    def wait() -> None:
        wait_until(lambda: topic.commits >= 2 and "tape" in pipeline.sessions)
        stop.request()

    threading.Thread(target=wait, daemon=True).start()
    with closing(opened(path, {"": topic})) as source:
        run_source(source, pipeline, [ListSink()], checkpoint_s=0.02, stop=stop)  # type: ignore[arg-type]
    assert pipeline.ended == ["tape"]
    assert set(topic.stored) == {"a"}
    assert topic.violations == []


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ('source = "kafka:k0"', "has the key of station one"),
        ('source = "kafka:k9"\nkafka = { what = 1 }', "kafka: what: Extra inputs"),
        ('source = "kafka:k9"\nkafka = { block_ms = -1 }', "kafka: block_ms"),
        ('source = "x.wav"\nkafka = { block_ms = 10 }', "has no use for it"),
    ],
)
def test_an_entry_that_kafka_cannot_have_leaves_the_others(
    tmp_path: Path, entry: str, says: str
) -> None:
    write(tmp_path / "list", {"one": "k0", "k1": "k1"}, f'[[stations]]\nname = "x"\n{entry}\n')
    found = read_stations(tmp_path / "list", HTTP, KAFKA)
    assert list(found.enabled) == ["one", "k1"]
    (problem,) = found.problems
    assert says in problem.text


def test_the_key_is_the_name_where_none_is_given(tmp_path: Path) -> None:
    (tmp_path / "list").write_text(
        '[[stations]]\nname = "a b"\nsource = "kafka"\n'
        '[[stations]]\nname = "c"\nsource = "kafka:a b"\nkafka = { block_ms = 50 }\n'
    )
    found = read_stations(tmp_path / "list", HTTP, KAFKA).enabled
    assert [(e.kind, e.key) for e in found.values()] == [("kafka", "a b")] * 2
    assert found["c"].kafka_settings(KAFKA).block_ms == 50
    assert found["a b"].kafka_settings(KAFKA) == KAFKA
    without = read_stations(tmp_path / "list", HTTP)
    assert len(without.problems) == 2
