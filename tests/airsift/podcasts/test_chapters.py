"""Laws of chapters: they cover an episode, in order, whatever is known of it."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.podcasts.chapters import Chapter, Repeat, chapters_of


class Segment(NamedTuple):
    start_s: float
    end_s: float
    label: str


class Match(NamedTuple):
    start_s: float
    end_s: float
    track: str
    title: str | None = None
    artist: str | None = None


KINDS = ("advert", "song", "jingle", "bed", "opening", "closing", "other", "weather")
LABELS = ("speech", "music", "speech_over_music", "other")


def spans(limit: float) -> st.SearchStrategy[tuple[float, float]]:
    times = st.floats(-5, limit, allow_nan=False).map(lambda value: round(value, 2))
    return st.tuples(times, times).map(sorted).map(tuple).filter(lambda span: span[0] < span[1])


@st.composite
def episodes(draw: st.DrawFn) -> dict:
    duration_s = draw(st.floats(0.01, 400).map(lambda value: round(value, 2)))
    span = spans(duration_s + 20)
    edges = sorted(draw(st.lists(st.floats(0, duration_s), max_size=8)))
    segments = [
        Segment(a, b, draw(st.sampled_from(LABELS))) for a, b in itertools.pairwise(edges) if b > a
    ]
    matches = [
        Match(*each, draw(st.sampled_from("abc")), draw(st.sampled_from(["A song", None])))
        for each in draw(st.lists(span, max_size=4))
    ]
    repeats = []
    for each in draw(st.lists(span, max_size=6)):
        title = draw(st.sampled_from(["", "", "News", "Weather"]))
        repeats.append(Repeat(*each, draw(st.sampled_from(KINDS)), title))
    return {
        "segments": segments,
        "matches": matches,
        "repeats": repeats,
        "duration_s": duration_s,
        "min_s": draw(st.floats(1, 60)),
        "min_music_s": draw(st.floats(1, 90)),
    }


@given(episodes())
def test_they_cover_the_episode_in_order_without_overlap(episode: dict) -> None:
    found = chapters_of(**episode)
    assert found[0].start_s == 0
    assert found[-1].end_s == episode["duration_s"]
    for one, following in itertools.pairwise(found):
        assert one.end_s == following.start_s
    for each in found:
        assert each.start_s < each.end_s
        assert each.title
        assert each.toc == (each.kind != "advert")


@given(episodes())
def test_only_what_was_named_is_shorter_than_the_setting(episode: dict) -> None:
    found = chapters_of(**episode)
    names = {each.title for each in episode["repeats"] if each.title}
    if len(found) > 1:
        for each in found:
            assert each.title in names or each.end_s - each.start_s >= episode["min_s"] - 0.002


@given(episodes(), st.randoms(use_true_random=False))
def test_the_order_of_what_is_known_does_not_matter(episode: dict, random) -> None:
    found = chapters_of(**episode)
    shuffled = {
        name: random.sample(value, len(value)) if isinstance(value, list) else value
        for name, value in episode.items()
    }
    assert chapters_of(**shuffled) == found


@given(episodes())
def test_a_named_repeat_alone_begins_a_chapter_of_its_name(episode: dict) -> None:
    rest = [each for each in episode["repeats"] if not each.title]
    at = episode["duration_s"] / 2
    named = Repeat(at, at + 4, "jingle", "The News", "repeat-1")
    found = chapters_of(**{**episode, "repeats": [*rest, named]})
    if episode["duration_s"] - at < 1.01:  # nothing of it is left
        return
    [mine] = [each for each in found if each.title == "The News"]
    assert mine.track == "repeat-1"
    assert mine.start_s == pytest.approx(at, abs=0.001) or mine.start_s == 0


def test_an_episode_of_all_kinds() -> None:
    segments = [
        Segment(0, 8, "music"), Segment(8, 600, "speech"), Segment(600, 660, "speech_over_music"),
        Segment(660, 1200, "speech"), Segment(1200, 1400, "music"), Segment(1400, 1800, "speech"),
        Segment(1800, 1900, "music"),
    ]  # fmt: skip
    matches = [Match(1206, 1391, "abel", "Starfall", "Abel")]
    repeats = [
        Repeat(0.2, 8.1, "jingle", "Welcome", "repeat-a"),
        Repeat(600.0, 630.0, "advert"),
        Repeat(631.0, 660.0, "advert"),
        Repeat(900.0, 905.0, "jingle"),
        Repeat(1000.0, 1020.0, "other"),
    ]
    assert chapters_of(segments, matches, repeats, 1900.0) == [
        Chapter(0, 600, "Welcome", "talk", True, "repeat-a"),
        Chapter(600, 660, "Advert", "advert", False),
        Chapter(660, 900, "Part 1", "talk"),
        Chapter(900, 1200, "Part 2", "talk"),
        Chapter(1200, 1400, "Abel - Starfall", "music", True, "abel"),
        Chapter(1400, 1800, "Part 3", "talk"),
        Chapter(1800, 1900, "Music", "music"),
    ]


def test_an_episode_of_talk_alone_is_one_chapter() -> None:
    assert chapters_of([], [], [], 30.0) == [Chapter(0, 30, "Talk", "talk")]
    assert chapters_of([], [], [], 0.0) == []
