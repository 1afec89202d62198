"""The sample of a repeat: no group has more than its share, whatever the lengths of its files."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.corpus import takes
from model.corpus.recordings import Recording
from model.training import dataset

drawn_recordings = st.lists(
    st.tuples(
        st.sampled_from(["anna", "ben"]),
        st.sampled_from(["speech", "singing", "advert"]),
        st.integers(1, 500),
    ),
    max_size=20,
)


@given(drawn_recordings, st.integers(1, 400), st.integers(0, 99))
def test_a_group_has_its_share_of_audio_or_all_it_has(
    drawn: list[tuple[str, str, int]], most: int, seed: int
) -> None:
    recordings = [
        Recording("s", str(place), kind, group, 1000 * place, 1000 * place + length, str(place))
        for place, (group, kind, length) in enumerate(drawn)
    ]
    found = dataset.sample(recordings, most, np.random.default_rng(seed))
    for part in found:
        whole = recordings[int(part.path)]
        assert whole.start <= part.start < part.end <= whole.end

    def made(of: list[Recording]) -> int:
        """Return the samples of the takes, as often as they are made."""
        return sum((e.end - e.start) * takes.REPEATS.get(e.kind, 1) for e in of)

    for group in ("anna", "ben"):
        there = made([each for each in recordings if each.group == group])
        used = made([each for each in found if each.group == group])
        longest = max(takes.REPEATS.values())
        assert used <= most
        assert used == there or used > most - longest
