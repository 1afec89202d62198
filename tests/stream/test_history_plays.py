from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream.events import Match
from stream.history.plays import plays_of
from stream.history.rows import row_of

RATE = 1000  # one sample a millisecond
LABELS = ("music", "speech", "speech_over_music", "other")


def segment(start, end, label):
    return start, end, label


def match(start, end):
    return row_of(Match("r", start, end, RATE, start / 1000, "t", "", "", 0, 5.0, final=True))


spans = st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda pair: (pair[0], sum(pair)))
labelled = st.lists(st.tuples(spans, st.sampled_from(LABELS)), max_size=8)


@given(spans, labelled)
def test_each_moment_of_a_song_is_counted_once(song, segments):
    rows = sorted((segment(*span, label) for span, label in segments), key=lambda row: row[0])
    [play] = plays_of([match(*song)], rows)
    counts = {"foreground": 0, "speech": 0, "other": 0}
    for moment in range(*song):
        labels = {label for (start, end), label in segments if start <= moment < end}
        if labels & {"speech", "speech_over_music"}:
            counts["speech"] += 1
        else:
            counts["foreground" if "music" in labels else "other"] += 1
    found = (play.foreground_s, play.under_speech_s, play.other_s)
    assert [round(each * 1000) for each in found] == list(counts.values())


def test_a_talk_over_at_both_ends():
    #            0    10        40   50
    # song       [---------------]
    # speech     =====          ====       over music
    # music           ==========
    rows = [
        segment(0, 10, "speech_over_music"),
        segment(10, 40, "music"),
        segment(40, 50, "speech_over_music"),
    ]
    [play] = plays_of([match(0, 45)], rows)
    assert (play.foreground_s, play.under_speech_s, play.other_s) == (0.030, 0.015, 0.0)
