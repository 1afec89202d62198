from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fingerprint.analysis.landmarks import Landmarks
from fingerprint.matching.matcher import TrackMatch
from fingerprint.settings import EDGE, HOP
from stream.audio import AudioChunk, EndOfStream
from stream.events import Decision, Match
from stream.stages.identify import Identify
from stream.stages.matchers import for_all
from stream.stages.smooth import Smooth
from tests.stream.doubles import SMOOTH
from tests.stream.sample_matcher import TIMES, S, SampleMatcher

LONG_ONLY = replace(TIMES, short_interval=10**9)


def station(text: str, track_from: int | None = None, track_start: int = 0):
    """Return audio and decisions of one letter a second; the track plays from a second on."""
    n = (len(text) + 4) * S
    audio = np.zeros(n, np.float32)
    if track_from is not None:
        audio[track_from * S :] = np.arange(n - track_from * S) + track_start + 1
    p = {"s": (0.95, 0.05), "m": (0.05, 0.95), "b": (0.95, 0.95), ".": (0.05, 0.05)}
    decisions = [Decision("a", k * S, (k + 5) * S, S, None, *p[c]) for k, c in enumerate(text)]
    return audio, decisions


def query(text, track_from=None, *, step=1, restart_at=None, times=TIMES):
    audio, decisions = station(text, track_from)
    matcher = SampleMatcher()
    smooth, identify = Smooth(SMOOTH), Identify(for_all(matcher), times)
    out = []
    n = len(audio)
    for first in range(0, len(decisions), step):
        group = decisions[first : first + step]
        start = 0 if first == 0 else group[0].end - S
        stop = group[-1].end
        out += identify.push([AudioChunk("a", start, audio[start:stop], S), *smooth.push(group)])
        if restart_at == first:
            session = identify.sessions["a"]
            state, oldest = identify.snapshot(session), identify.oldest(session, stop)
            identify = Identify(for_all(matcher), times)
            identify.restore(identify.sessions["a"], state)
            identify.push([AudioChunk("a", oldest, audio[oldest:stop], S)])
    cut = EndOfStream("a", n, S)
    out += identify.push(smooth.push([cut]))
    return [item for item in out if isinstance(item, Match)], matcher, out


def test_music_is_named_within_ten_seconds_and_once_more_when_it_is_over():
    matches, _, out = query("m" * 30, 0)
    assert [(m.track, m.final) for m in matches] == [("t", False), ("t", True)]
    assert matches[0].id == matches[1].id
    assert matches[1].end >= 28 * S
    before = out[: out.index(matches[0])]
    assert max(e.end for e in before if isinstance(e, Decision)) <= 10 * S


def test_the_place_in_the_track_is_that_of_the_start():
    matches, _, _ = query("s" * 10 + "m" * 20, 12)
    first = matches[0]
    assert abs((first.start - 12 * S) - first.track_start) <= 2


def test_the_label_decides_how_often_audio_is_queried_but_not_whether():
    counts = {letter: len(query(letter * 60, times=LONG_ONLY)[1].queries) for letter in "msb."}
    assert counts["m"] == counts["b"] == 13  # each 5 s from 6 s on, and at the end
    assert counts["s"] == counts["."] == 7  # each 10 s, and at the end


def test_a_track_is_named_before_its_label_is_known():
    """A query needs 3 s of the track, and `EDGE` behind them; it comes every 1.5 s."""
    for start in range(10, 20):
        matches, _, out = query("s" * 40, start)
        decisions = [e.end for e in out[: out.index(matches[0])] if isinstance(e, Decision)]
        assert max(decisions) <= (start + 3 + 2) * S + 2 * EDGE
        assert 0 <= matches[0].start - start * S < HOP


def test_a_track_behind_a_known_one_is_named_as_soon():
    class Two(SampleMatcher):
        """Knows the samples from 100 s on as another track."""

        def match(self, landmarks):
            second = 8 * HOP * landmarks.bin >= 100 * S
            found = []
            for name, mine in (("t", ~second), ("u", second)):
                times = landmarks.time[mine]
                if len(times) >= self.least // HOP:
                    a, b = int(times[0]), int(times[-1]) + HOP
                    found.append(TrackMatch(name, name, "", a, b, 0, 9.0))
            return found

    for second in range(20, 30):
        audio, decisions = station("m" * 60)
        audio[: second * S] = np.arange(second * S) + 1
        audio[second * S :] = np.arange(len(audio) - second * S) + 100 * S + 1
        smooth, identify = Smooth(SMOOTH), Identify(for_all(Two()), TIMES)
        out = identify.push([AudioChunk("a", 0, audio, S), *smooth.push(decisions)])
        named = next(item for item in out if isinstance(item, Match) and item.track == "u")
        before = [e.end for e in out[: out.index(named)] if isinstance(e, Decision)]
        assert max(before) <= second * S + TIMES.interval + 2 * S + 2 * EDGE


def test_music_that_is_labelled_speech_is_named_whole():
    matches, _, _ = query("s" * 60, 0)
    assert [(m.track, m.final) for m in matches] == [("t", False), ("t", True)]
    assert matches[0].start == 0
    assert matches[1].end >= 60 * S


def test_a_playing_is_one_match_whatever_the_label_becomes():
    matches, _, _ = query("m" * 12 + "s" * 12 + "." * 7 + "m" * 12, 0)
    assert [m.final for m in matches] == [False, True]
    assert matches[1].end >= 40 * S


def test_unknown_music_has_no_match():
    matches, matcher, _ = query("m" * 30)
    assert matches == []
    assert len(matcher.queries) >= 4


def test_one_playing_under_changing_speech_is_one_match():
    matches, _, _ = query("m" * 12 + "b" * 12 + "m" * 12, 0)
    assert len({match.id for match in matches}) == 1
    assert sum(match.final for match in matches) == 1


def test_short_music_is_queried_when_it_ends_with_and_without_what_was_before():
    matcher = query("s" * 10 + "mmmm" + "s" * 10)[1]
    end = 16 * S
    assert (12 * S, end) in matcher.queries
    assert (0, end) in matcher.queries


def test_the_size_of_pushes_changes_nothing():
    text = "s" * 8 + "m" * 25 + "s" * 9 + "b" * 14
    assert query(text, 0, step=1)[0] == query(text, 0, step=7)[0] == query(text, 0, step=100)[0]


def test_a_restart_changes_nothing():
    text = "s" * 8 + "m" * 25 + "s" * 9
    assert query(text, 0, restart_at=16)[0] == query(text, 0)[0]


def test_a_restart_at_any_moment_changes_nothing():
    text = "s" * 8 + "m" * 14 + "s" * 9
    expected = query(text, 10)[0]
    assert expected
    for moment in range(len(text)):
        assert query(text, 10, restart_at=moment)[0] == expected, f"after decision {moment}"


@pytest.mark.parametrize("letter", "ms")
def test_memory_is_bounded(letter):
    audio, decisions = station(letter * 200)
    smooth, identify = Smooth(SMOOTH), Identify(for_all(SampleMatcher()), TIMES)
    for decision in decisions:
        chunk = AudioChunk("a", decision.end - S, audio[decision.end - S : decision.end], S)
        identify.push([chunk, *smooth.push([decision])])
        session = identify.sessions["a"]
        oldest = identify.oldest(session, decision.end)
        assert decision.end - oldest <= TIMES.other_interval + 2 * EDGE + S
        packed = identify.snapshot(session).landmarks
        assert len(Landmarks.unpack(packed)) <= TIMES.max_query // HOP


def test_a_question_ends_where_it_should_however_much_audio_came_after():
    audio, decisions = station("m" * 12, 0)
    matcher = SampleMatcher()
    smooth, identify = Smooth(SMOOTH), Identify(for_all(matcher), TIMES)
    chunks = [AudioChunk("a", k, audio[k : k + 960], S) for k in range(0, len(audio), 960)]
    for decision in decisions:
        late = decision.end + 4000
        loud = [chunk for chunk in chunks if chunk.end <= late]
        chunks = [chunk for chunk in chunks if chunk.end > late]
        identify.push([*loud, *smooth.push([decision])])
    assert matcher.queries
    assert all((end + EDGE) % S == 0 for _, end in matcher.queries)


def query_lengths(matcher, seconds):
    audio, decisions = station("m" * seconds, 0)
    smooth, identify = Smooth(SMOOTH), Identify(for_all(matcher), TIMES)
    cut = EndOfStream("a", len(audio), S)
    out = identify.push([AudioChunk("a", 0, audio, S), *smooth.push([*decisions, cut])])
    return [item for item in out if isinstance(item, Match)], [b - a for a, b in matcher.queries]


def test_unidentified_music_is_queried_at_growing_length():
    matches, lengths = query_lengths(SampleMatcher(least=10**9), 60)
    assert matches == []
    lengths = [length for length in lengths if length > TIMES.short_query]
    assert lengths == sorted(lengths)
    assert lengths[-1] == TIMES.max_query


def test_what_is_too_faint_for_one_question_is_found_with_time():
    matches, _ = query_lengths(SampleMatcher(least=20 * S), 60)
    assert len({match.id for match in matches}) == 1
    assert matches[0].start < S
    assert matches[0].end < 26 * S
    assert matches[-1].end > 58 * S


def test_identified_music_is_queried_with_its_last_part_only():
    _, lengths = query_lengths(SampleMatcher(), 60)
    assert max(lengths) == TIMES.query


def test_a_track_that_is_removed_while_it_plays_ends():
    audio, decisions = station("m" * 60, 0)
    matcher = SampleMatcher()
    smooth, identify = Smooth(SMOOTH), Identify(for_all(matcher), TIMES)
    chunk = AudioChunk("a", 0, audio, S)
    out = identify.push([chunk, *smooth.push(decisions[:30])])
    matcher.least = 10**9
    out = identify.push(smooth.push(decisions[30:]))
    (end,) = (item for item in out if isinstance(item, Match))
    assert end.final
    assert end.end <= 36 * S


def test_answers_from_different_repeats_of_a_loop_are_one_match():
    audio, decisions = station("m" * 30, 0)
    matcher = SampleMatcher()
    plain = matcher.match

    def shifted(landmarks):
        return [
            replace(answer, track_start=len(matcher.queries) * 3 * S) for answer in plain(landmarks)
        ]

    matcher.match = shifted
    smooth, identify = Smooth(SMOOTH), Identify(for_all(matcher), TIMES)
    out = identify.push([AudioChunk("a", 0, audio, S), *smooth.push(decisions)])
    assert len({item.id for item in out if isinstance(item, Match)}) == 1
    assert len(matcher.queries) > 2


class ChangedMatcher(SampleMatcher):
    """Knows the track only as one that is played 2 % fast."""

    def match(self, landmarks):
        return [replace(answer, speed=1.02) for answer in super().match(landmarks)]


def test_warp_search_has_its_turn_and_keeps_what_only_it_finds():
    audio, decisions = station("m" * 60, 0)
    plain, warping = SampleMatcher(least=10**9), ChangedMatcher()
    settings = replace(TIMES, warp_every_n_queries=3, tolerance=10**9)
    smooth, identify = Smooth(SMOOTH), Identify(for_all(plain, warping), settings)
    cut = EndOfStream("a", len(audio), S)
    out = identify.push([AudioChunk("a", 0, audio, S), *smooth.push([*decisions, cut])])
    matches = [item for item in out if isinstance(item, Match)]
    assert len(warping.queries) in range(8, 13)  # at 11 s, and then every time
    assert {match.id for match in matches} == {matches[0].id}
    assert matches[-1].end > 55 * S


def test_warp_search_is_given_unknown_music_once():
    audio, decisions = station("m" * 200, 0)
    plain, warping = SampleMatcher(least=10**9), SampleMatcher(least=10**9)
    settings = replace(TIMES, warp_every_n_queries=4)
    smooth, identify = Smooth(SMOOTH), Identify(for_all(plain, warping), settings)
    identify.push([AudioChunk("a", 0, audio, S), *smooth.push(decisions)])
    lengths = [end - start for start, end in warping.queries]
    assert 150 * S < sum(lengths) < 210 * S
    assert all(length <= TIMES.max_query for length in lengths)


def test_what_the_catalogue_knows_of_a_track_comes_with_its_match():
    matcher = SampleMatcher()
    plain, extra = matcher.match, {"work id": "W7"}
    known = {"album": "Album", "isrc": "XX1234567890", "label": "Label", "extra": extra}

    def described(landmarks):
        return [replace(answer, duration=60 * S, **known) for answer in plain(landmarks)]

    matcher.match = described
    matches, _ = query_lengths(matcher, 30)
    assert matches
    for match in matches:
        assert (match.album, match.isrc, match.record_label) == ("Album", "XX1234567890", "Label")
        assert (match.track_duration, match.extra) == (60 * S, extra)
