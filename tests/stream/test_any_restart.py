"""After any failure of a group of workers, a subscriber has the events of an undisturbed one."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from stream.audio import AudioChunk
from stream.kafka.codec.message import encode, encode_end
from tests.examples import examples
from tests.stream.reader import Group
from tests.stream.restarts import make, programme

SECONDS = 160
IDLE_S = 20.0
# More of both: 2 takes minutes, 20 an hour.
MORE = int(os.environ.get("TEST_MORE", "1"))


class Producer:
    """Sends a station's programme, by its headers or in order of arrival."""

    def __init__(self, name, rate, seed, counts, stereo=False):
        self.name, self.rate, self.counts = name, rate, counts
        self.audio = programme(rate, SECONDS, seed)
        if stereo:
            self.audio = in_two_channels(self.audio, rate)
        self.at = self.shift = 0  # in its audio; in what it counts
        self.on_air = False

    def take(self, seconds):
        """Return the message with the next audio, and when it was sent."""
        n = round(seconds * self.rate)
        samples = self.audio[self.at : self.at + n]
        start = self.at - self.shift
        chunk = AudioChunk(self.name, start, samples, self.rate, 1000 + self.at / self.rate)
        message = encode(chunk, "f32")
        if samples.ndim > 1:
            headers = [h for h in message.headers if h[0] != "channels"]
            message = message._replace(headers=[*headers, ("channels", b"2")])
        self.at += n
        self.on_air = True
        return self._send(message), round(1000 * (1000 + self.at / self.rate))

    def end(self):
        """Return the end-of-stream message."""
        return self._send(encode_end(self.name, self.at - self.shift, self.rate))

    def _send(self, message):
        if self.counts:
            return message
        headers = [h for h in message.headers if h[0] not in ("start_sample", "time_ms")]
        return message._replace(headers=headers)


def in_two_channels(samples, rate):
    """Return audio whose second channel is the first, inverted, silent or another, in turns."""
    turns = np.arange(len(samples)) // (7 * rate) % 5
    other = np.roll(samples, 12 * rate)
    right = np.select(
        [turns == 0, turns == 1, turns == 2, turns == 3],
        [samples, -samples, 0 * samples, other],
        other - samples,
    )
    left = np.where(turns == 4, other + samples, samples)
    return np.stack([left, right], axis=1).astype(np.float32)


class Restarts(RuleBasedStateMachine):
    """One group is stopped, killed and read again; nothing is checked of the other."""

    @initialize(
        names=st.booleans(),
        voice=st.booleans(),
        reorder=st.sampled_from([0, 2000]),
        rates=st.lists(st.sampled_from([16000, 44100]), min_size=1, max_size=2),
        counts=st.sampled_from([True, True, False]),
        stereo=st.booleans(),
    )
    def begin(self, names, voice, reorder, rates, counts, stereo):
        def pipeline():
            return make(names=names, voice=voice, reorder_s=reorder / 1000)

        self.reorder = reorder
        self.group = Group(pipeline, idle_s=IDLE_S)
        self.whole = Group(pipeline, idle_s=IDLE_S)
        self.producers = [
            Producer("ab"[i], rate, i, counts, stereo) for i, rate in enumerate(rates)
        ]

    def send(self, message, timestamp=-1):
        for group in (self.group, self.whole):
            group.send(message, timestamp)

    @rule(data=st.data(), seconds=st.sampled_from([0.02, 0.25, 0.5, 1, 2]), n=st.integers(1, 12))
    def play(self, data, seconds, n):
        producer = data.draw(st.sampled_from(self.producers))
        messages = [producer.take(seconds) for _ in range(n)]
        may_swap = self.reorder and producer.counts and n > 2 and seconds <= 0.5
        if may_swap and data.draw(st.booleans()):
            at = data.draw(st.integers(0, n - 2))
            messages[at : at + 2] = messages[at + 1], messages[at]
        for message, timestamp in messages:
            if len(message.value):
                self.send(message, timestamp)

    @rule(data=st.data(), seconds=st.sampled_from([0.02, 0.5, 2, 12]))
    def spoil(self, data, seconds):
        """Send audio that does not decode."""
        producer = data.draw(st.sampled_from(self.producers))
        message, timestamp = producer.take(seconds)
        self.send(message._replace(value=message.value[:-1] or b"x"), timestamp)

    @rule(data=st.data(), seconds=st.floats(0.01, 30))
    def lose(self, data, seconds):
        producer = data.draw(st.sampled_from(self.producers))
        producer.at += round(seconds * producer.rate)

    @rule(data=st.data(), n=st.integers(1, 3), anew=st.booleans())
    def end(self, data, n, anew):
        producer = data.draw(st.sampled_from(self.producers))
        for _ in range(n):
            self.send(producer.end())
        if anew and producer.counts and producer.on_air:
            producer.shift = producer.at
        producer.on_air = False

    @rule(n=st.integers(1, 40))
    def read(self, n):
        self.group.read(n)

    @rule(n=st.integers(1, 40), times=st.integers(1, 3))
    def read_and_settle(self, n, times):
        for _ in range(times):
            self.group.read(n)
            self.group.checkpoint()

    @rule()
    def checkpoint(self):
        self.group.checkpoint()

    @rule(n=st.integers(0, 30))
    def crash(self, n):
        self.group.start()
        self.group.read(n)

    @rule(n=st.integers(0, 6), times=st.integers(2, 4))
    def stop_again_and_again(self, n, times):
        for _ in range(times):
            self.group.checkpoint()
            self.group.start()
            self.group.read(n)

    @precondition(lambda self: self.group.log)
    @rule(crashes=st.booleans(), seconds=st.integers(0, 5))
    def fall_silent(self, crashes, seconds):
        """Nothing comes for long; then the worker may die before it emits the result."""
        self.group.read()
        self.group.checkpoint()
        for _ in range(int(IDLE_S) + 2):
            self.group.turn()
            self.group.checkpoint()
            if all(map(self.group.is_idle, self.group.records)):
                break
        for _ in range(seconds):
            self.group.turn()
        for producer in self.producers:
            self.whole.send(producer.end())
            producer.on_air = False
        if crashes:
            self.group.start()

    def teardown(self):
        if not hasattr(self, "group"):
            return
        self.group.read()
        self.group.checkpoint()
        self.group.wait(IDLE_S + 5)
        for producer in self.producers:
            self.whole.send(producer.end())
        self.whole.read()
        ours, whole = comparable(self.group), comparable(self.whole)
        assert sorted(ours.items() - whole.items()) == sorted(whole.items() - ours.items())
        # A message after a long hole, and then nothing: nothing has confirmed where it is.
        # A message that did not decode may come again.
        assert reasons(self.group) == reasons(self.whole)
        held = {e.id for e in self.group.events if e.kind in ("segment", "match")}
        assert held <= self.group.finals.keys()
        assert self.group.committed == len(self.group.log)  # nothing is needed again


def comparable(group):
    """Return what is final; the reason of a gap before a returning station is not checked."""
    return {
        name: line.replace("the stream had ended", "missing") for name, line in group.finals.items()
    }


def reasons(group):
    """Return why messages were refused; one group falls silent where the other's streams end."""
    silent = "no other message came after it"
    return {reason.replace("its stream ended", silent) for reason in group.refused}


@pytest.mark.slow
def test_any_restarts_give_the_same_final_events():
    run_state_machine_as_test(
        Restarts,
        settings=examples(15 * MORE, stateful_step_count=20 + 5 * MORE),
    )
