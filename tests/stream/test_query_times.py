"""Laws of the times of queries, for any labels, breaks and tracks."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fingerprint.settings import EDGE
from stream.audio import AudioChunk, Discontinuity, EndOfStream
from stream.events import Decision, Match, Segment
from stream.stages.identify import WITH_MUSIC, Identify
from stream.stages.matchers import for_all
from stream.stages.smooth import Smooth
from tests.examples import examples
from tests.stream.doubles import SMOOTH
from tests.stream.sample_matcher import TIMES, S, SampleMatcher

P = {"s": (0.95, 0.05), "m": (0.05, 0.95), "b": (0.95, 0.95), ".": (0.05, 0.05)}

# Labels of up to half a minute each, in seconds, and whether a known track plays meanwhile.
runs = st.lists(
    st.tuples(st.sampled_from("smb."), st.integers(1, 30), st.booleans()), min_size=1, max_size=8
)
quick = examples(20)


class Counted(SampleMatcher):
    """Counts how often audio was extracted: once for each query."""

    def __init__(self) -> None:
        super().__init__()
        self.extracted = 0

    def extract(self, samples):
        self.extracted += 1
        return super().extract(samples)


def items_of(runs, shift=0, break_at=None):
    """Return a station's items in order: audio and decisions, a second each, and its end.

    The track's samples count up while it plays, as `SampleMatcher` wants them.
    """
    letters = "".join(letter * n for letter, n, _ in runs)
    heard = np.repeat([plays for _, _, plays in runs], [n for _, n, _ in runs])
    letters, heard = letters + letters[-1] * 4, np.append(heard, [heard[-1]] * 4)
    items: list[object] = []
    begin = 0
    for k, plays in enumerate(heard):
        at = shift + k * S
        if k == break_at:
            items.append(Discontinuity("a", at, at, S, "missing"))
            begin = k
        samples = np.arange(k * S, k * S + S, dtype=np.float32) + 1 if plays else np.zeros(S)
        items.append(AudioChunk("a", at, samples.astype(np.float32), S))
        if k - begin >= 4:
            items.append(Decision("a", at - 4 * S, at + S, S, None, *P[letters[k - 4]]))
    return [*items, EndOfStream("a", shift + len(heard) * S, S)]


def run(items, *, cuts=()):
    """Push items in the groups that `cuts` divide them into."""
    matcher = Counted()
    smooth, identify = Smooth(SMOOTH), Identify(for_all(matcher), TIMES)
    out = []
    for a, b in pairwise([0, *sorted({cut for cut in cuts if 0 < cut < len(items)}), len(items)]):
        out += identify.push(smooth.push(items[a:b]))
    return [item for item in out if isinstance(item, Match | Segment)], matcher


def matches_after_restart(items, at):
    """Push items, with a restart before the item at an index."""
    smooth, identify = Smooth(SMOOTH), Identify(for_all(Counted()), TIMES)
    out = identify.push(smooth.push(items[:at]))
    state = identify.snapshot(identify.sessions["a"])
    past = [item for item in items[:at] if isinstance(item, AudioChunk)]
    if state is not None and past:
        oldest = identify.oldest(identify.sessions["a"], past[-1].end)
        identify = Identify(for_all(Counted()), TIMES)
        identify.restore(identify.sessions["a"], state)
        identify.push([chunk for chunk in past if chunk.end > oldest])
    out += identify.push(smooth.push(items[at:]))
    return [item for item in out if isinstance(item, Match)]


def matches_of(items, **how):
    return [item for item in run(items, **how)[0] if isinstance(item, Match)]


@quick
@given(runs, st.lists(st.integers(1, 400), max_size=20))
def test_the_size_of_pushes_changes_nothing(runs, cuts):
    items = items_of(runs)
    assert matches_of(items, cuts=cuts) == matches_of(items)


@quick
@given(runs, st.data())
def test_a_restart_anywhere_changes_nothing(runs, data):
    items = items_of(runs)
    at = data.draw(st.integers(0, len(items) - 1))
    assert matches_after_restart(items, at) == matches_of(items)


@quick
@given(runs, st.integers(1, 10**6))
def test_a_programme_that_begins_later_has_the_same_matches_later(runs, pairs):
    shift = pairs * 2 * S  # a whole number of frames of the index
    moved = [
        replace(match, start=match.start + shift, end=match.end + shift)
        for match in matches_of(items_of(runs))
    ]
    assert matches_of(items_of(runs, shift)) == moved


@quick
@given(runs, st.data())
def test_the_number_of_queries_is_bounded_and_all_audio_is_in_one(runs, data):
    seconds = sum(n for _, n, _ in runs)
    break_at = data.draw(st.none() | st.integers(1, seconds))
    events, matcher = run(items_of(runs, break_at=break_at))
    music = {e.start for e in events if isinstance(e, Segment) and e.label in WITH_MUSIC}
    long = [end for start, end in matcher.queries if end - start > TIMES.short_query]
    # Music has two in one place: with what was before it, and without.
    bound = (seconds + 4) * S / TIMES.interval + 2 * len(music) + 2
    assert len(set(long)) <= bound
    assert matcher.extracted <= bound + (seconds + 4) * S / TIMES.short_interval
    assert all(end - start <= TIMES.max_query for start, end in matcher.queries)
    covered = np.zeros(seconds + 4, bool)
    for start, end in matcher.queries:
        covered[-(-start // S) : end // S] = True
    # What is shorter at an end is not queried, and a second may be in it in part.
    parts = 1 if break_at is None else 2
    assert covered.sum() >= len(covered) - parts * (TIMES.shortest // S + 1)


@quick
@given(st.integers(1, 600), st.sampled_from("s."))
def test_audio_without_music_is_queried_at_the_longer_interval(seconds, letter):
    _, matcher = run(items_of([(letter, seconds, False)]))
    long = [end for start, end in matcher.queries if end - start > TIMES.short_query]
    bound = (seconds + 4) * S // TIMES.other_interval + 1
    assert len(long) <= bound
    assert matcher.extracted <= bound + (seconds + 4) * S // TIMES.short_interval


@quick
@given(st.integers(0, 40), st.text("smb.", min_size=20, max_size=60))
def test_a_playing_is_final_once_whatever_its_labels(before, letters):
    """A track that plays for 20 s and more, and the labels change each second."""
    runs = [("s", before, False)] * (before > 0) + [(letter, 1, True) for letter in letters]
    matches = matches_of(items_of(runs))
    assert [match.final for match in matches] == [False, True]
    assert abs(matches[1].start - before * S) <= S
    assert matches[1].end >= (before + len(letters) + 4) * S - 2 * EDGE - TIMES.shortest
