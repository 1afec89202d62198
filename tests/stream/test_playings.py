"""Laws of playings, over made-up programmes with a matcher that knows what it hears."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerprint.analysis.landmarks import Landmarks
from fingerprint.matching.matcher import Rival, TrackMatch
from fingerprint.settings import HOP
from fingerprint.track import TrackName
from stream.audio import AudioChunk, EndOfStream
from stream.events import Decision, Match
from stream.stages.identify import Identify
from stream.stages.matchers import for_all
from stream.stages.playings import PlayingRules, Playings
from stream.stages.smooth import Smooth
from tests.examples import examples
from tests.stream.doubles import SMOOTH
from tests.stream.sample_matcher import TIMES, S

HOPS = S / HOP  # in a second
RULES = PlayingRules(tolerance=8000, shortest=3 * S, held=20 * S)

# Three songs that have two copies each in the catalogue, and three that open with one jingle.
COPIED, WITH_JINGLE = ("a", "b", "c"), ("x", "y", "z")
JINGLE_HOPS = 6 * S // HOP
SONG_HOPS = 40 * S // HOP
TRACKS = [f"{song}{copy}" for song in COPIED for copy in (1, 2)] + [f"{s}1" for s in WITH_JINGLE]


@dataclass(frozen=True)
class Part:
    """What a station plays: a song from its beginning, `unknown` music, or `speech`.

    A song may be labelled as speech.
    """

    what: str
    seconds: int
    under_speech: bool = False


def sound_of(song: str) -> np.ndarray:
    """Return the number of each hop of a song; songs with the jingle begin with the same."""
    sound = np.arange(SONG_HOPS) + 10_000 * (1 + (COPIED + WITH_JINGLE).index(song))
    if song in WITH_JINGLE:
        sound[:JINGLE_HOPS] = np.arange(JINGLE_HOPS) + 100_000
    return sound


class Ear:
    """Knows the number of every hop; which of equal tracks it names changes with every query."""

    def __init__(self) -> None:
        self.queries = 0

    def extract(self, samples: np.ndarray) -> Landmarks:
        time = np.arange(0, len(samples), HOP)
        return Landmarks(time, samples[time], np.zeros(len(time), np.int16), 0, len(samples))

    def match(self, landmarks: Landmarks) -> list[TrackMatch]:
        self.queries += 1
        turn = self.queries % len(TRACKS)
        found = [
            match
            for track in TRACKS[turn:] + TRACKS[:turn]
            for match in self.explanations(landmarks, track)
        ]
        found.sort(key=lambda match: -match.score)
        kept: list[TrackMatch] = []
        for match in found:
            if any(shared(match, other) > 0 for other in kept):
                continue
            rivals = [
                Rival(other, other.score / match.score)
                for other in found
                if other.recording != match.recording and shared(match, other) > 0
            ]
            kept.append(replace(match, rivals=tuple(rivals)))
        return sorted(kept, key=lambda match: match.query_start)

    def explanations(self, landmarks: Landmarks, track: str) -> list[TrackMatch]:
        """Return where two seconds and more of a track are heard in a row."""
        sound = sound_of(track[0])
        order = np.argsort(sound)
        at = np.searchsorted(sound[order], landmarks.bin)
        place = order[np.minimum(at, len(order) - 1)]
        heard = sound[place] == landmarks.bin
        lag = place - landmarks.time // HOP
        out = []
        for value in np.unique(lag[heard]):
            hits = np.flatnonzero(heard & (lag == value))
            if len(hits) < 2 * HOPS:
                continue
            start, end = int(landmarks.time[hits[0]]), int(landmarks.time[hits[-1]]) + HOP
            copies = [t for t in TRACKS if t[0] == track[0] and t != track]
            out.append(
                TrackMatch(
                    track, track, "", start, end, int(place[hits[0]]) * HOP, len(hits) / HOPS,
                    duration=SONG_HOPS * HOP, recording=track[0],
                    copies=tuple(TrackName(copy, copy, "") for copy in copies),
                )
            )  # fmt: skip
        return out


def shared(a: TrackMatch, b: TrackMatch) -> int:
    return min(a.query_end, b.query_end) - max(a.query_start, b.query_start)


def published(parts: list[Part]) -> list[Match]:
    """Return the matches of a programme, as they are published."""
    audio, decisions, music = [], [], []
    for part in parts:
        n = part.seconds * S
        hops = np.arange(n) // HOP
        sound = sound_of(part.what)[hops] if len(part.what) == 1 else np.full(n, -1)
        audio.append(sound.astype(np.float32))
        music += [part.what != "speech" and not part.under_speech] * part.seconds
    samples = np.concatenate([*audio, np.full(4 * S, -1, np.float32)])
    decisions = [
        Decision("r", k * S, (k + 5) * S, S, None, *((0.05, 0.95) if with_music else (0.95, 0.05)))
        for k, with_music in enumerate(music)
    ]
    smooth, identify, out = Smooth(SMOOTH), Identify(for_all(Ear()), TIMES), []
    at = 0
    for decision in decisions:
        chunk = AudioChunk("r", at, samples[at : decision.end], S)
        at = decision.end
        out += identify.push([chunk, *smooth.push([decision])])
    out += identify.push(smooth.push([EndOfStream("r", len(samples), S)]))
    return [item for item in out if isinstance(item, Match)]


def times(parts: list[Part]) -> list[tuple[Part, int, int]]:
    out, at = [], 0
    for part in parts:
        out.append((part, at, at + part.seconds * S))
        at += part.seconds * S
    return out


SECONDS = st.integers(2, 20).map(lambda n: 2 * n)  # whole hops
SONGS = st.builds(Part, st.sampled_from(COPIED + WITH_JINGLE), SECONDS, st.booleans())
OTHERS = st.builds(Part, st.sampled_from(["unknown", "speech"]), SECONDS)
PROGRAMMES = st.lists(SONGS | OTHERS, min_size=1, max_size=6)


@examples(60)
@given(PROGRAMMES)
def test_laws_of_playings(parts):
    matches = published(parts)
    finals = [match for match in matches if match.final]
    # No id is final twice, and nothing follows a final match.
    over = set()
    for match in matches:
        assert match.id not in over
        if match.final:
            over.add(match.id)
    assert {match.id for match in matches} == over
    # Playings of one recording lie one behind the other.
    for song in COPIED + WITH_JINGLE:
        spans = sorted((m.start, m.end) for m in finals if m.track[0] == song)
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    # What is named plays.
    for match in matches:
        heard = [
            min(match.end, end) - max(match.start, start)
            for part, start, end in times(parts)
            if part.what == match.track[0]
        ]
        assert sum(max(each, 0) for each in heard) >= 0.9 * (match.end - match.start)
    # A copy is an alternative, not another playing.
    for match in matches:
        other = [t for t in TRACKS if t[0] == match.track[0] and t != match.track]
        assert [a.track for a in match.alternatives] == other
    # A song that is played once, for long enough, has one match.
    count = Counter(part.what for part in parts)
    for part, start, end in times(parts):
        if len(part.what) == 1 and count[part.what] == 1 and part.seconds >= 17:
            (match,) = (m for m in finals if m.track[0] == part.what)
            assert abs(match.start - start) <= 3 * S
            assert abs(match.end - end) <= 3 * S


@pytest.mark.parametrize("song", WITH_JINGLE)
def test_a_jingle_names_no_other_track(song):
    matches = published([Part(song, 30)])
    assert {match.track[0] for match in matches} == {song}
    assert matches[0].start < S


def test_a_jingle_alone_has_no_name():
    assert published([Part("x", 6), Part("unknown", 30)]) == []


def test_an_ended_song_is_not_final_again():
    matches = published([Part("a", 25), Part("b", 8), Part("unknown", 40)])
    assert [m.track[0] for m in matches if m.final] == ["a", "b"]
    assert len(matches) == 4


def answer(track: str, start_s: float, end_s: float, place_s: float = 0.0, **more) -> TrackMatch:
    places = (round(each * S) for each in (start_s, end_s, place_s))
    return TrackMatch(track, track, "", *places, 5.0, duration=180 * S, **more)


def tie(match: TrackMatch, *others: TrackMatch) -> TrackMatch:
    return replace(match, rivals=tuple(Rival(other, 1.0) for other in others))


def test_the_track_that_plays_keeps_its_name_while_it_explains_the_audio():
    playings = Playings()
    (first,) = playings.add("r", answer("p", 0, 10), RULES)
    stronger = answer("q", 5, 15, 50)
    weak = Rival(answer("p", 5, 15, 5), 0.5)
    assert playings.add("r", replace(stronger, rivals=(weak,)), RULES) == []
    assert [each.match.end for each in playings.open] == [15 * S]
    (other,) = playings.add("r", answer("q", 16, 26, 61), RULES)
    assert (first.track, other.track) == ("p", "q")


def test_what_several_tracks_explain_for_long_has_one_name_and_alternatives():
    playings = Playings()
    for end in (6, 11, 16):
        assert playings.add("r", tie(answer("p", 0, end), answer("q", 0, end)), RULES) == []
    (match,) = playings.add("r", tie(answer("q", 0, 21), answer("p", 0, 21)), RULES)
    assert (match.track, [a.track for a in match.alternatives]) == ("q", ["p"])
    assert playings.add("r", tie(answer("p", 11, 21, 11), answer("q", 11, 21, 11)), RULES) == []
    assert [m.track for m in playings.finish()] == ["q"]


def test_a_jingle_of_the_catalogue_has_its_name_once_it_was_played_as_a_whole():
    playings = Playings()
    jingle = replace(answer("jingle", 0, 6), duration=6 * S)
    opens = [answer(f"track {n}", 0, 6) for n in range(10)]
    assert playings.add("r", tie(opens[3], jingle, *opens[:3]), RULES) == []
    assert [(m.track, m.final) for m in playings.finish()] == [("jingle", True)]
    assert playings.add("r", tie(opens[5], jingle, *opens[:3]), RULES) == []
    assert playings.open == []


def test_a_song_that_goes_on_behind_its_end_has_another_playing():
    playings = Playings()
    playings.add("r", answer("p", 0, 10), RULES)
    (first,) = playings.finish()
    assert playings.add("r", answer("p", 2, 12, 2), RULES) == []
    (second,) = playings.add("r", answer("p", 5, 15, 5), RULES)
    assert (second.start, second.track_start) == (10 * S, 10 * S)
    assert second.id != first.id


def test_another_repeat_of_a_track_is_the_same_playing_but_its_beginning_is_another():
    playings = Playings()
    playings.add("r", answer("p", 0, 10, 30), RULES)
    assert playings.add("r", answer("p", 12, 20, 70), RULES) == []
    (again,) = playings.add("r", answer("p", 21, 31), RULES)
    assert again.start == 21 * S


def test_playings_are_remembered_while_a_query_covers_them():
    playings = Playings()
    playings.add("r", answer("p", 0, 10), RULES)
    playings.finish()
    playings.forget(9 * S)
    assert playings.add("r", answer("p", 0, 9), RULES) == []
    playings.forget(10 * S)
    assert playings.over == []
