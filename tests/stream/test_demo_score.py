from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from model.mixing import merge_spans
from stream.demo.programme import Play, Stretch
from stream.demo.score import LabelScore, NamedTrack, score_labels, score_songs, total

LABELS = ("speech", "music", "speech_over_music", "other")


@st.composite
def programmes(draw):
    edges = sorted(draw(st.sets(st.integers(1, 60_000), min_size=1, max_size=8)) | {0})
    labels = st.sampled_from(LABELS)
    return [Stretch(start, end, draw(labels)) for start, end in pairwise(edges)]


def share(truth, detected):
    return total(list(score_labels(truth, detected).values())).share


@given(programmes())
def test_the_truth_scores_everything_and_silence_nothing(truth):
    scores = score_labels(truth, truth)
    assert {score.share for score in scores.values()} == {1.0}
    assert total(list(scores.values())).total == truth[-1].end
    assert share(truth, []) == 0.0


@given(programmes(), st.lists(st.integers(0, 60_000), max_size=5))
def test_cutting_or_repeating_segments_changes_nothing(truth, cuts):
    pieces = []
    for s in truth:
        edges = sorted({s.start, s.end, *(cut for cut in cuts if s.start < cut < s.end)})
        pieces += [Stretch(start, end, s.label) for start, end in pairwise(edges)]
    assert score_labels(truth, pieces + truth[:2]) == score_labels(truth, truth)


@given(programmes(), st.integers(0, 5_000))
def test_a_shift_costs_at_most_itself_at_each_edge(truth, shift):
    late = [Stretch(s.start + shift, s.end + shift, s.label) for s in truth]
    score = total(list(score_labels(truth, late).values()))
    assert score.total - score.right <= shift * len(truth)


@given(programmes(), programmes())
def test_right_never_exceeds_what_there_is(truth, detected):
    for score in score_labels(truth, detected).values():
        assert 0 <= score.right <= score.total


def test_a_picture():
    truth = [Stretch(0, 10, "speech"), Stretch(10, 20, "music"), Stretch(20, 26, "other")]
    detected = [Stretch(0, 12, "speech"), Stretch(12, 24, "music")]
    assert score_labels(truth, detected) == {
        "speech": LabelScore(10, 10),
        "music": LabelScore(8, 10),
        "other": LabelScore(0, 6),
    }


def test_no_audio_scores_all_right():
    assert total([]).share == 1.0


def test_songs_are_found_missed_or_false():
    a, b = Play(0, 10, "a", known=True), Play(8, 20, "b", known=True)
    unknown = Play(20, 30, "x", known=False)
    wrong = [NamedTrack(25, 29, "a"), NamedTrack(21, 22, "never played")]
    score = score_songs([a, b, unknown], [NamedTrack(2, 9, "a"), NamedTrack(9, 10, "a"), *wrong])
    assert (score.found, score.missed) == ((a,), (b,))
    assert score.false == tuple(wrong)


def test_touching_is_not_overlapping():
    play = Play(0, 10, "a", known=True)
    assert score_songs([play], [NamedTrack(10, 12, "a")]).missed == (play,)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=8))
def test_a_union_holds_the_same_moments(pairs):
    intervals = [(start, start + length) for start, length in pairs]
    joined = merge_spans(intervals)
    assert {t for s, e in intervals for t in range(s, e)} == {
        t for s, e in joined for t in range(s, e)
    }
    assert all(end < start for (_, end), (start, _) in pairwise(joined))
