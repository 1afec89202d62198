import pytest

from stream.stages.hysteresis import MAX_PENDING_LENGTHS, Hysteresis

S = 16000


def changes(p, *, min_s=2, end=None):
    hysteresis = Hysteresis(0, onset=0.6, offset=0.4, min_length=min_s * S)
    out = []
    for k, value in enumerate(p):
        change = hysteresis.push((k + 1) * S, value / 10, grid=1600)
        if change:
            out.append((change[0] / S, change[1]))
    change = hysteresis.finish((end or len(p) + 3) * S)
    if change:
        out.append((change[0] / S, change[1]))
    return out


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        # probability, tenths, one a second from second 1     changes (s, on)
        ([9, 9, 9, 9, 9, 9, 9, 9, 9], [(0, True)]),
        ([1, 1, 1, 1, 9, 9, 9, 9, 9], [(0, False), (4.5, True)]),
        ([1, 1, 1, 3, 7, 9, 9, 9, 9], [(0, False), (4.5, True)]),
        ([1, 1, 1, 1, 9, 9, 1, 1, 1], [(0, False)]),  # too short
        ([1, 1, 1, 1, 5.5, 5.5, 5.5, 5.5], [(0, False)]),  # never reaches `onset`
        ([9, 9, 9, 9, 4.5, 4.5, 4.5, 4.5], [(0, True)]),  # never reaches `offset`
        ([9, 9, 9, 9, 4.5, 4.5, 4.5, 3], [(0, True), (4.9, False)]),  # dated where it crossed
        ([1, 1, 1, 1, 1, 1, 9], [(0, False), (6.5, True)]),  # lasts, counted to the end
    ],
)
def test_pictures(p, expected):
    assert changes(p) == expected


def test_the_first_state_is_known_soon_and_is_what_it_was_on_the_whole():
    assert changes([5.5, 4.5, 5.5, 4.5, 5.5, 4.5]) == [(0, True)]
    assert changes([9, 9, 1, 1, 1, 1]) == [(0, True), (2.5, False)]


def test_a_session_too_short_for_a_run_is_what_it_was_on_the_whole():
    assert changes([9]) == [(0, True)]
    assert changes([9, 1, 1]) == [(0, False)]


def test_a_change_that_stays_undecided_does_not_hold_everything_back():
    hysteresis = Hysteresis(0, onset=0.6, offset=0.4, min_length=2 * S)
    for k in range(600):
        hysteresis.push((k + 1) * S, 0.9 if k < 30 else 0.45, grid=1600)
    assert hysteresis.on
    assert hysteresis.last_at - hysteresis.watermark == MAX_PENDING_LENGTHS * 2 * S
    assert hysteresis.push(601 * S, 0.3, grid=1600) == (580 * S, False)
