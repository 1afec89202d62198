from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import ConfigError
from model.corpus.feature_store import FeatureStore, TakeRow
from model.corpus.teacher import ROW_COLUMNS
from model.training.mixer import (
    Mixer,
    equalisation,
    moment_targets,
    reverberate,
    taper,
    transpose,
    window_targets,
)
from model.training.mixture import (
    COLUMN_SECONDS,
    WINDOW,
    MixtureSource,
    Solo,
    fade_curve,
    interruptions,
    mix,
)
from tests.examples import examples
from tests.model.stores import store_of

KINDS = ("speech", "music", "singing", "noise")
LENGTH = 400


@pytest.fixture(scope="module")
def store() -> FeatureStore:
    random = np.random.default_rng(0)
    takes = [
        TakeRow(f"{kind}:{n}", kind, LENGTH * (2 * i + n), LENGTH * (2 * i + n + 1))
        for i, kind in enumerate(KINDS)
        for n in range(2)
    ]
    columns = random.uniform(0, 10, (LENGTH * len(takes), 144)).astype(np.float16)
    return store_of(columns, takes)


@pytest.mark.parametrize(
    ("front", "back", "wanted"),
    [
        ("speech", None, (1, 0)),
        ("music", None, (0, 1)),
        ("singing", None, (0, 1)),
        ("noise", None, (0, 0)),
        ("silence", None, (0, 0)),
        ("speech", "noise", (1, 0)),
        ("speech", "speech", (1, 0)),
        ("speech", "music", (1, 1)),
        ("speech", "singing", (1, 1)),
    ],
)
def test_labels_are_those_of_the_sources(
    store: FeatureStore, front: str, back: str | None, wanted: tuple[int, int]
) -> None:
    recipe = Solo(front) if back is None else mix(front, back, -20.0, 6.0)
    columns, active, *_ = Mixer(store, recipes=((1.0, recipe),)).batch(6, np.random.default_rng(1))
    assert columns.shape == (6, 250, 144)
    assert torch.isfinite(columns).all()
    torch.testing.assert_close(
        window_targets(active), torch.tensor([wanted] * 6, dtype=torch.float32)
    )


@examples(20)
@given(place=st.floats(0.0, 1.0))
def test_the_target_crosses_one_half_when_a_boundary_passes_the_centre(place: float) -> None:
    active = fade_curve(MixtureSource("speech", end=place)) > 0.25
    share = float(taper(WINDOW)[active].sum())
    assert abs(share - 0.5) < 0.02 or (share > 0.5) == (place > 0.5)


def test_two_halves_of_a_window_have_half_of_it_each(store: FeatureStore) -> None:
    def halves(_: np.random.Generator) -> tuple[MixtureSource, ...]:
        return MixtureSource("speech", end=0.5), MixtureSource("music", start=0.5)

    _, active, *_ = Mixer(store, recipes=((1.0, halves),)).batch(4, np.random.default_rng(2))
    torch.testing.assert_close(window_targets(active), torch.full((4, 2), 0.5), atol=0.02, rtol=0)


@examples(20)
@given(st.integers(0, 250))
def test_the_target_of_a_moment_is_the_centre_of_its_frame(start: int) -> None:
    active = torch.zeros(1, 250, 1)
    active[:, start:] = 1.0
    moments = moment_targets(active, context=40, stride=10, moments=5)[0, :, 0]
    for moment, share in enumerate(moments.tolist()):
        first = (8 + moment) * 10 + 15  # frame 8 sees columns 80 to 120: 95 to 105 are its middle
        assert share == pytest.approx(min(max((first + 10 - start) / 10, 0.0), 1.0))


def test_the_same_random_state_gives_the_same_windows(store: FeatureStore) -> None:
    first, second = (Mixer(store).batch(8, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_without_scenes_the_other_recipes_share_the_windows(store: FeatureStore) -> None:
    """Not as windows of speech: two weights of noise and one of speech stay two to one."""
    recipes = ((5.0, Solo("scene")), (1.0, Solo("speech")), (2.0, Solo("noise")))
    with_kinds = (*KINDS, "scene")
    windows = Mixer(store, recipes=recipes, kinds=with_kinds).batch(90, np.random.default_rng(8))
    alone = Mixer(store, recipes=recipes[1:], kinds=with_kinds).batch(90, np.random.default_rng(8))
    assert torch.equal(windows.active, alone.active)
    assert float(windows.active[:, 0, 0].mean()) == pytest.approx(1 / 3, abs=0.15)


def test_music_is_drawn_for_singing_and_nothing_for_other_classes(store: FeatureStore) -> None:
    def without(*kinds: str) -> FeatureStore:
        kept = [each for each in store.takes if each.kind not in kinds]
        return FeatureStore(store.columns, store.targets, kept)

    recipes = ((1.0, Solo("singing")),)
    active = Mixer(without("singing"), recipes=recipes).batch(4, np.random.default_rng(9)).active
    assert active[:, :, 1].min() == 1.0
    with pytest.raises(ConfigError, match="has no music and no singing of"):
        Mixer(without("music", "singing"), recipes=recipes)
    with pytest.raises(ConfigError, match="has no singing of"):
        Mixer(without("singing"), recipes=recipes, kinds=("singing",))
    with pytest.raises(ConfigError, match="has no scene of"):
        Mixer(store, recipes=((1.0, Solo("scene")),), kinds=("scene",))


def test_a_window_of_one_whole_take_has_the_tags_of_its_centre(store: FeatureStore) -> None:
    """Every row of tags says its take and its place, and so do the columns."""
    rows = LENGTH // ROW_COLUMNS
    takes = [each._replace(first_tag=rows * n) for n, each in enumerate(store.takes)]
    tags = np.arange(rows * len(takes), dtype=np.uint8)[:, None]
    tagged = FeatureStore(store.columns, store.targets, takes, tags)
    numbers = {n for n, each in enumerate(takes) if each.kind == "music"}
    recipes = ((1.0, Solo("music")), (1.0, mix("music", "music", 0.0, 0.0)))
    batch = Mixer(tagged, recipes=recipes, kinds=("music",)).batch(80, np.random.default_rng(10))
    assert 25 <= len(batch.tagged) <= 55  # those of one source, without the interrupted
    assert len(set(batch.tagged.tolist())) == len(batch.tagged)
    seen = (255 * batch.tags[:, 0]).round().long()
    assert {int(row) // rows for row in seen} == numbers
    # The centres are 125 columns and more from the ends, at tempo 1.12 or less.
    assert {int(row) % rows for row in seen} <= set(range(4, 12))


def test_takes_left_out_are_never_drawn(store: FeatureStore) -> None:
    loud = FeatureStore(store.columns.copy(), store.targets, store.takes)
    loud.columns[:LENGTH] = 60.0
    mixer = Mixer(loud, dropped=frozenset({0}), recipes=((1.0, Solo("speech")),))
    columns, *_ = mixer.batch(16, np.random.default_rng(4))
    assert float(columns.max()) < 30.0


def test_transposition_moves_bins_and_nothing_else() -> None:
    columns = torch.zeros(40, 3, 144)
    columns[:, :, 70] = 1.0
    moved = transpose(columns, np.random.default_rng(5))
    places = moved[:, 0].argmax(dim=1)
    assert float(moved.sum()) == 40 * 3
    assert int(places.min()) >= 62
    assert int(places.max()) <= 78
    assert len(set(places.tolist())) > 5


def test_equalisation_is_a_gain_for_each_bin() -> None:
    gain = equalisation(50, np.random.default_rng(6))
    assert gain.shape == (50, 1, 144)
    assert float(gain.min()) > 0.0


@examples(30)
@given(seed=st.integers(0, 10_000))
def test_interruptions_are_shorter_than_two_seconds(seed: int) -> None:
    gate = interruptions(np.random.default_rng(seed))
    assert gate.shape == (WINDOW,)
    assert 0.0 <= gate.min() <= gate.max() <= 1.001
    sounding = np.flatnonzero(np.concatenate([[1.0], gate, [1.0]]) > 0.5)
    assert np.diff(sounding).max() * COLUMN_SECONDS <= 2.0
    assert gate.max() > 0.9


def test_a_room_keeps_the_power_and_sounds_on_after_the_sound() -> None:
    power = np.full((64, 250, 6), 1e-6, np.float32)
    power[:, 50:100] = 1.0
    changed = reverberate(power, np.random.default_rng(7), chance=1.0)
    assert changed.shape == power.shape
    assert 0.7 < changed[:, 50:].sum() / power[:, 50:].sum() < 1.1
    assert (changed[:, 101] > 10 * power[:, 101]).all()
    assert changed[:, 240].max() < changed[:, 101].max()
    untouched = reverberate(power, np.random.default_rng(7), chance=0.0)
    np.testing.assert_array_equal(untouched, power)
