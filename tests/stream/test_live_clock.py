"""Properties of the clock of live streams, over simulated servers and simulated time."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sources.live_clock import LiveClock, PositionedAudio
from tests.examples import examples

RATE = 100
BLOCK = 50  # samples
HOURS = 3
_random = np.random.default_rng(1)
# A programme whose samples all differ, so that received audio shows when it was on air.
_ORDER = _random.permutation(HOURS * 3600 * RATE)
PROGRAMME = (_ORDER / len(_ORDER) * 2 - 1).astype(np.float32)
_PLACES = np.argsort(PROGRAMME)
_VALUES = PROGRAMME[_PLACES]
assert (np.diff(_VALUES) > 0).all()


def places_of(samples):
    """Return the indices of samples in the programme."""
    return _PLACES[np.searchsorted(_VALUES, np.asarray(samples, np.float32))].tolist()


@dataclass
class Server:
    """A station on air since 0, its encoder's clock fast by `ppm`, and one listener's clock."""

    clock: LiveClock = field(default_factory=lambda: LiveClock(settle_s=2.0))
    ppm: float = 0.0
    delay_s: float = 0.0  # from the air to the listener
    now: float = 1000.0
    sent: int = 0  # the next sample of the programme
    taken: list[tuple[PositionedAudio, float]] = field(default_factory=list)
    waiting: list[float] = field(default_factory=list)  # less than a block, as decoders hold back

    def on_air(self, at: float) -> int:
        """Return how many samples have been on air by a time."""
        return int((at - self.delay_s) * RATE * (1 + self.ppm / 1e6))

    def aired(self, sample: int) -> float:
        return sample / RATE / (1 + self.ppm / 1e6)

    def connect(self, burst_s: float) -> None:
        self.clock.finish()
        self.clock.connect()
        self.waiting.clear()
        self.sent = max(self.on_air(self.now - burst_s), 0)

    def send(self) -> None:
        """Deliver all that has been on air."""
        self.deliver(self.on_air(self.now))

    def deliver(self, end: int) -> None:
        self.waiting += PROGRAMME[self.sent : end].tolist()
        self.sent = max(end, self.sent)
        while len(self.waiting) >= BLOCK:
            block, self.waiting = self.waiting[:BLOCK], self.waiting[BLOCK:]
            self.clock.push(np.array(block, np.float32), RATE, self.now)
        self.take()

    def take(self) -> None:
        for placed in self.clock.take(self.now):
            self.taken.append((placed, self.now))

    def play(self, seconds: float, lump_s: float = 0.5) -> None:
        """Go on at the pace of air, in lumps."""
        end = self.now + seconds
        while self.now < end:
            self.now += lump_s
            self.send()

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 0.2, end)
            self.take()

    def lose(self, seconds: float) -> None:
        """Deliver nothing for some time, and never what was on air then."""
        self.wait(seconds)
        self.sent = self.on_air(self.now)
        self.waiting.clear()  # less than a block, which would have two times

    def slow(self, seconds: float, pace: float) -> None:
        """Deliver more slowly than the air."""
        start, first = self.now, self.sent
        while self.now < start + seconds:
            self.now += 0.5
            self.deliver(first + int((self.now - start) * RATE * pace))

    # What came out.

    @property
    def chunks(self) -> list[PositionedAudio]:
        return [placed for placed, _ in self.taken]

    def indices(self) -> list[int]:
        return [place for placed in self.chunks for place in places_of(placed.samples)]

    def gaps(self) -> list[float]:
        return [
            (b.start - a.start - len(a.samples)) / RATE
            for a, b in pairwise(self.chunks)
            if b.start != a.start + len(a.samples)
        ]

    def off_s(self) -> list[float]:
        """Return by how much each chunk's time is later than when it was on air."""
        return [placed.time - self.aired(places_of(placed.samples)[0]) for placed in self.chunks]

    def check(self, early_s: float = 0.1, late_s: float = 1.0) -> None:
        for placed, at in self.taken:
            assert placed.time + placed.seconds <= at + 1e-5, "in the future"
        for a, b in pairwise(self.chunks):
            assert b.start >= a.start + len(a.samples), "backwards"
        indices = self.indices()
        assert indices == sorted(set(indices)), "twice, or out of order"
        assert all(-early_s <= off <= late_s for off in self.off_s()), (
            min(self.off_s()), max(self.off_s()),
        )  # fmt: skip


bursts = st.floats(0, 60)
steps = st.one_of(
    st.tuples(st.just("play"), st.floats(3, 40)),
    st.tuples(st.just("buffer"), st.floats(1.5, 20)),
    st.tuples(st.just("lose"), st.floats(3, 20)),
    st.tuples(st.just("drop"), st.floats(0.3, 20)),
)


@examples(60)
@given(
    bursts=st.lists(bursts, min_size=1, max_size=4),
    road=st.lists(steps, max_size=10),
    lump_s=st.sampled_from([0.25, 0.5, 1.0, 2.5]),
    ppm=st.sampled_from([0.0, 200.0, -200.0]),
    delay_s=st.floats(0, 5),
)
def test_time_follows_the_air_and_nothing_comes_twice(
    bursts: list[float], road: list[tuple[str, float]], lump_s: float, ppm: float, delay_s: float
) -> None:
    server = Server(ppm=ppm, delay_s=delay_s)
    server.connect(bursts[0])
    server.play(4, lump_s)
    for number, (what, seconds) in enumerate(road):
        if what == "play":
            server.play(seconds, lump_s)
        elif what == "buffer":
            server.wait(seconds)
            server.play(4, lump_s)
        elif what == "lose":
            server.lose(seconds)
            server.play(7, lump_s)
        else:
            server.wait(seconds)
            burst_s = bursts[number % len(bursts)]
            # A burst that bridges by less than can be recognised is placed by the clock alone.
            short = -1 < burst_s - seconds < 1
            server.connect(burst_s + 2 if short else burst_s)
            server.play(4, lump_s)
    server.play(3, lump_s)
    server.check(early_s=1.5, late_s=delay_s + lump_s + 1.0)


@pytest.mark.parametrize("seconds", [2, 3, 8, 20, 59])
@pytest.mark.parametrize("lump_s", [0.5, 1.0])
def test_a_stall_in_which_audio_was_lost_is_a_gap_of_its_length(
    seconds: float, lump_s: float
) -> None:
    server = Server()
    server.connect(5)
    server.play(20, lump_s)
    server.lose(seconds)
    server.play(20, lump_s)
    server.check(early_s=0.6)
    assert server.gaps() == [pytest.approx(seconds, abs=0.6)]
    assert {placed.reason for placed in server.chunks} == {"missing", "stall"}


@pytest.mark.parametrize("seconds", [1.5, 8, 30])
@pytest.mark.parametrize("lump_s", [0.25, 1.0, 4.0])
def test_a_stall_after_which_all_is_delivered_is_no_gap(seconds: float, lump_s: float) -> None:
    server = Server()
    server.connect(5)
    server.play(20, lump_s)
    server.wait(seconds)
    server.play(20, lump_s)
    server.check(late_s=lump_s)
    assert server.gaps() == []


def test_of_a_stall_only_what_is_not_delivered_is_lost() -> None:
    server = Server()
    server.connect(0)
    server.play(20)
    server.wait(10)
    server.sent += 6 * RATE  # of ten seconds the server has buffered the last four
    server.play(20)
    assert server.gaps() == [pytest.approx(6, abs=0.6)]
    server.check(early_s=0.6)


@pytest.mark.parametrize("burst_s", [1, 10, 60])
@pytest.mark.parametrize("away_s", [0.5, 3.0])
def test_drops_every_20_s_lose_and_repeat_nothing_where_bursts_bridge_them(
    burst_s: float, away_s: float
) -> None:
    server = Server()
    server.connect(burst_s)
    for _ in range(12):
        server.play(20)
        server.wait(away_s)
        server.connect(burst_s)
    server.play(10)
    server.check(early_s=0.6)
    if burst_s >= away_s + 1:
        assert server.gaps() == []
        indices = server.indices()
        assert indices == list(range(indices[0], indices[-1] + 1))
    else:
        lost = [gap for gap in server.gaps() if gap > 0.1]
        assert len(lost) in (0, 12)
        assert sum(server.gaps()) == pytest.approx(12 * max(away_s - burst_s, 0), abs=12 * 0.6)


@pytest.mark.slow
@pytest.mark.parametrize("ppm", [200.0, -200.0, 400.0])
def test_drift_is_followed_for_hours_without_a_gap(ppm: float) -> None:
    server = Server(ppm=ppm)
    server.connect(10)
    server.play(2.5 * 3600, lump_s=1.0)
    server.check(early_s=0.1, late_s=1.1)
    assert server.gaps() == []


def test_a_server_that_is_slow_loses_nothing() -> None:
    server = Server()
    server.connect(5)
    server.play(10)
    server.slow(100, 0.9)
    server.play(10)
    server.check()
    assert server.gaps() == []


def test_a_server_that_becomes_ever_later_is_at_most_a_minute_late() -> None:
    server = Server()
    server.connect(5)
    server.play(10)
    start, first = server.now, server.sent
    while server.now < start + 1500:
        server.now += 0.5
        server.deliver(first + int((server.now - start) * RATE * 0.9))
    late = [at - placed.time for placed, at in server.taken]
    assert 55 < max(late) < 62
    assert server.gaps()[0] == pytest.approx(60, abs=1)
    assert {placed.reason for placed in server.chunks} == {"missing", "stall"}


@examples(20)
@given(st.lists(st.floats(0, 0.4), min_size=10, max_size=40), st.sampled_from([0.25, 0.5]))
def test_jitter_is_no_gap(lates: list[float], lump_s: float) -> None:
    server = Server()
    server.connect(3)
    base = server.now
    for i in range(600):
        base += lump_s
        server.now = base + lates[i % len(lates)]
        server.deliver(server.on_air(base))
    server.check()
    assert server.gaps() == []


def test_more_than_a_live_stream_can_give_is_a_file_and_a_burst_of_a_minute_is_none() -> None:
    for ahead_s, is_file in ((60, False), (100, False), (200, True)):
        server = Server(LiveClock(may_be_file=True))
        server.connect(0)
        server.deliver(server.sent + ahead_s * RATE)
        assert server.clock.is_file is is_file
        if is_file:
            placed = server.clock.give_up()
            assert sum(len(each.samples) for each in placed) == ahead_s * RATE
            assert placed[0].start == 0


def test_a_burst_that_comes_when_the_clock_is_set_waits_for_its_time() -> None:
    server = Server()
    server.connect(0)
    server.play(10)
    server.deliver(server.sent + 20 * RATE)  # of a programme that is not on air yet
    assert server.chunks[-1].time + server.chunks[-1].seconds <= server.now
    assert server.clock.ready_s == pytest.approx(20, abs=1)
    server.wait(25)
    assert server.clock.ready_s == pytest.approx(0, abs=1)
    assert server.gaps() == []


def test_the_clock_begins_when_audio_arrives() -> None:
    server = Server()
    server.clock.connect()
    server.wait(30)  # models are loaded meanwhile
    server.connect(4)
    server.play(6)
    server.check()
    assert server.chunks[0].start == 0
    assert server.chunks[0].time == pytest.approx(1030 - 4, abs=0.6)


def test_a_stall_is_one_gap_and_goes_on_after_another_one() -> None:
    server = Server()
    server.connect(2)
    for _ in range(5):
        server.play(15)
        server.lose(8)
    server.play(15)
    assert server.gaps() == [pytest.approx(8, abs=0.6)] * 5
    server.check(early_s=0.6)


def silent(n: int) -> np.ndarray:
    return np.zeros(n, np.float32)


def tone(n: int, at: int) -> np.ndarray:
    return np.sin(2 * np.pi * 7 * (at + np.arange(n)) / RATE).astype(np.float32)


@pytest.mark.parametrize("kind", ["silence", "tone"])
@pytest.mark.parametrize(("away_s", "burst_s"), [(8, 0), (0, 8), (3, 1)])
def test_audio_that_is_everywhere_the_same_is_placed_by_the_clock(
    kind: str, away_s: int, burst_s: int
) -> None:
    clock = LiveClock()

    def play(now: float, end: float) -> float:
        while now < end:
            now += 0.5
            at = round(now * RATE)
            clock.push(silent(BLOCK) if kind == "silence" else tone(BLOCK, at), RATE, now)
            taken.extend(clock.take(now))
        return now

    taken: list[PositionedAudio] = []
    clock.connect()
    now = play(0, 30)
    clock.finish()
    clock.connect()
    now += away_s
    for i in range(2 * burst_s):
        at = round((now - burst_s + (i + 1) / 2) * RATE)
        clock.push(silent(BLOCK) if kind == "silence" else tone(BLOCK, at), RATE, now)
    play(now, now + 10)
    total = sum(each.seconds for each in taken)
    end = (taken[-1].start + len(taken[-1].samples)) / RATE
    assert end == pytest.approx(40 + away_s, abs=1.5)
    assert total == pytest.approx(40 + min(away_s, burst_s), abs=1.5)


def test_damage_is_as_long_as_its_audio_took_to_arrive() -> None:
    for claimed_s in (2, 3600):
        server = Server()
        server.connect(0)
        server.play(10)
        server.now += 2
        server.sent = server.on_air(server.now)
        server.now += 0.5
        piece = PROGRAMME[server.sent : server.sent + BLOCK]
        skip = claimed_s * RATE
        server.clock.push(piece, RATE, server.now, skip=skip, reason="undecodable")
        server.sent += BLOCK
        server.play(10)
        assert server.gaps() == [pytest.approx(2, abs=0.6)]
        server.check(early_s=0.6)


def test_audio_that_was_lost_is_missing_where_a_frame_was_cut() -> None:
    server = Server()
    server.connect(0)
    server.play(10)
    server.now += 4
    old = PROGRAMME[server.sent : server.sent + 20]  # it was half decoded before the stall
    server.clock.push(old, RATE, server.now)
    last = server.sent + 20
    server.sent = server.on_air(server.now)
    piece = PROGRAMME[server.sent : server.sent + BLOCK]
    server.now += 0.5
    server.clock.push(piece, RATE, server.now, skip=3, reason="undecodable")
    server.sent += BLOCK
    server.play(10)
    assert server.gaps() == [pytest.approx(4 - 0.2, abs=0.6)]
    indices = server.indices()
    assert last - 1 in indices
    server.check(early_s=0.6)


def test_a_burst_is_recognised_behind_a_damaged_frame() -> None:
    server = Server()
    server.connect(10)
    server.play(20)
    server.wait(1)
    server.connect(10)
    server.clock.push(_random.uniform(-1, 1, 30).astype(np.float32), RATE, server.now)
    piece = PROGRAMME[server.sent + 40 : server.sent + 40 + BLOCK]
    server.clock.push(piece, RATE, server.now, skip=10, reason="undecodable")
    server.sent += 40 + BLOCK
    server.play(10)
    assert server.gaps() == []
    server.check(early_s=0.6)


def test_a_new_rate_goes_on_at_the_same_time() -> None:
    clock = LiveClock()
    taken: list[PositionedAudio] = []
    clock.connect()
    for i in range(20):
        clock.push(silent(50), 100, 100 + i / 2)
        taken += clock.take(100 + i / 2)
    clock.finish()
    clock.connect()
    for i in range(20):
        clock.push(silent(100), 200, 115 + i / 2)
        taken += clock.take(115 + i / 2)
    before = [each for each in taken if each.rate == 100]
    after = [each for each in taken if each.rate == 200]
    assert before
    assert after
    gap_s = after[0].start / 200 - before[-1].start / 100 - before[-1].seconds
    assert gap_s == pytest.approx(5, abs=0.6)
    assert after[0].time == pytest.approx(114.5, abs=0.1)
