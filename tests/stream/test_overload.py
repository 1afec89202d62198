"""A worker that is too slow for a while: what it leaves out and takes up again, and what it loses.

The messages come in real time by a clock that only the worker's own work moves on. So how far it is
behind is what the partition reader measures, as with Kafka.
"""

from __future__ import annotations

from itertools import groupby, pairwise

import pytest

from stream.kafka.checkpoint.partition_reader import PartitionReader
from stream.kafka.codec.message import encode
from stream.kafka.records.consumer_record import Received
from stream.kafka.settings import KafkaSettings
from stream.load import CALM, CALM_S, MAX_LEVEL, Load
from stream.pipeline import Pipeline
from stream.runner import Runner, Stop
from stream.stages.identify import Identify
from stream.stages.matchers import for_all
from stream.testing import RATE, ListSink, ManualClock, chunks_of, programme
from tests.stream.doubles import SMOOTH
from tests.stream.networks import FRONT_END
from tests.stream.sample_matcher import TIMES, SampleMatcher

LIMIT_S = 4.0
SECONDS = 150
SLOW_S = range(10, 75)  # when the machine is slow
POLL = 2  # messages, at most, of one poll: a longer turn may pass over a level


class SlowWorker:
    """One worker on one partition with one station.

    Parameters
    ----------
    factor : float
        Seconds for a second of audio while the machine is slow; less without identification.
    limit_s : float
        `run.overload_s`.
    """

    def __init__(self, classifier, factor: float, limit_s: float) -> None:
        self.clock = ManualClock()
        self.factor = factor
        self.load = Load(limit_s, self.clock)
        self.identify = Identify(for_all(SampleMatcher()), TIMES, load=self.load)
        self.sink = ListSink()
        self.pipeline = Pipeline(FRONT_END, classifier, SMOOTH, self.identify, load=self.load)
        self.runner = Runner(self.pipeline, [self.sink], Stop())
        self.reader = PartitionReader(
            KafkaSettings.default(), RATE, lambda *_: None, now=self.clock
        )
        self.reader.begin(0, 0, [])
        self.levels, self.behind_s = [], []

    def run(self, messages) -> None:
        """Read all messages, each once it was sent."""
        while self.reader.next_offset(0) < len(messages) or self.load.level:
            end = min(int(self.clock.now), len(messages))
            self.reader.is_caught_up(0, end)
            first = self.reader.next_offset(0)
            chunks = []
            for offset in range(first, min(first + POLL, end)):
                chunks += self.reader.read(Received("audio", 0, offset, -1, *messages[offset]))
            self.runner.step(chunks, self.reader.behind_s)
            self.levels.append(self.load.level)
            self.behind_s.append(self.load.behind_s)
            self.clock.now += max(len(chunks) * self.cost_s, 0.2)
            assert self.clock.now < 10 * SECONDS
        self.runner.end()

    @property
    def cost_s(self) -> float:
        if int(self.clock.now) not in SLOW_S:
            return 0.1
        return self.factor * (0.8 if self.load.skips_identify else 1.0)


@pytest.fixture(scope="module")
def messages():
    return [encode(chunk) for chunk in chunks_of(programme(SECONDS), RATE)]


def outcome(worker):
    return [event for event in worker.sink.events if event.kind != "match"]


@pytest.mark.slow
@pytest.mark.parametrize(("factor", "highest"), [(1.02, 0), (1.1, 1), (1.3, 2), (1.7, 3)])
def test_levels_go_up_and_down_in_order_and_nothing_is_lost(classifier, messages, factor, highest):
    quick = SlowWorker(classifier, 0.1, 0.0)
    quick.run(messages)
    slow = SlowWorker(classifier, factor, LIMIT_S)
    slow.run(messages)
    up, down = list(range(highest + 1)), list(range(highest))[::-1]
    assert [level for level, _ in groupby(slow.levels)] == up + down
    assert outcome(slow) == outcome(quick) != []
    assert quick.load.skipped["identify_s"] == 0
    assert (slow.load.skipped["identify_s"] > 0) == (highest >= 2)
    assert max(slow.behind_s) < (highest + 1) * LIMIT_S or highest == MAX_LEVEL
    assert slow.behind_s[-1] < CALM * LIMIT_S


@pytest.mark.slow
def test_a_level_is_not_left_before_the_worker_was_near_for_long_enough(classifier, messages):
    worker = SlowWorker(classifier, 1.7, LIMIT_S)
    times = []
    update = worker.load.update

    def note(behind_s):
        update(behind_s)
        times.append((worker.clock.now, worker.load.level, behind_s))

    worker.load.update = note
    worker.run(messages)
    falls = [
        now
        for (now, level, _), (_, before, _) in zip(times[1:], times, strict=False)
        if level < before
    ]
    assert len(falls) == MAX_LEVEL
    near = [now for now, _, behind_s in times if now <= falls[0] and behind_s >= CALM * LIMIT_S]
    assert falls[0] - max(near) >= CALM_S
    assert all(b - a >= CALM_S for a, b in pairwise(falls))
