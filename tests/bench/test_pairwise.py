"""Laws of the pairwise boosted fingerprint: bits, boosting, and the look-up."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.matching.pairwise import (
    BITS,
    HOP,
    MAX_WIDTH,
    PARAMETERS,
    BoxFilter,
    bit_error,
    integral_image,
    load_filters,
    save_filters,
    spectral_image,
    sub_fingerprints,
)
from bench.matching.pairwise_matcher import PairwiseIndex, agreement
from bench.matching.pairwise_training import QUANTILES, boost, candidates
from tests.fingerprint.music import compose

RATE = 16_000
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tracks() -> list[np.ndarray]:
    return [compose(seed, 40.0) for seed in range(4)]


def bits_of(samples: np.ndarray) -> np.ndarray:
    return sub_fingerprints(spectral_image(samples), load_filters())[0]


def test_there_are_as_many_different_filters_as_bits() -> None:
    filters = load_filters()
    assert len(set(filters)) == len(filters) == BITS
    assert PARAMETERS.stat().st_size < 5_000
    assert all(each.bands + each.band <= 32 and each.frames <= MAX_WIDTH for each in filters)


@given(seed=st.integers(0, 1000), number=st.integers(0, 200))
def test_the_integral_image_gives_the_sums_of_boxes(seed: int, number: int) -> None:
    random = np.random.default_rng(seed)
    image = random.standard_normal((40, 32)).astype(np.float32)
    each = candidates(201, np.random.default_rng(3))[number]
    found = each.responses(integral_image(image))
    assert len(found) == 40 - MAX_WIDTH + 1
    begin = (MAX_WIDTH - each.frames) // 2
    w, h, b = each.width, each.height, each.band
    signs = {
        0: [[-1, 1]],
        1: [[-1], [1]],
        2: [[-1, 2, -1]],
        3: [[-1], [2], [-1]],
        4: [[1, -1], [-1, 1]],
    }[each.kind]
    expected = sum(
        sign * image[begin + row * w : begin + (row + 1) * w, b + column * h :][:, :h].mean()
        for row, line in enumerate(signs)
        for column, sign in enumerate(line)
    )
    assert found[0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.slow
def test_equal_audio_has_equal_bits_at_any_level(tracks: list[np.ndarray]) -> None:
    bits = bits_of(tracks[0])
    assert np.array_equal(bits, bits_of(tracks[0].copy()))
    # Louder by 6 dB: only responses within rounding of a threshold, or the floor, may differ.
    assert bit_error(bits, bits_of(tracks[0] * np.float32(2))) < 0.02
    # From another hop on, the same frames have the same bits.
    assert bit_error(bits[5:], bits_of(tracks[0][5 * HOP :])) < 1e-3


@pytest.mark.slow
def test_unrelated_audio_differs_in_half_of_the_bits(tracks: list[np.ndarray]) -> None:
    bits = [bits_of(track) for track in tracks]
    errors = [bit_error(a, b) for n, a in enumerate(bits) for b in bits[:n]]
    assert 0.42 < np.mean(errors) < 0.58


@given(seed=st.integers(0, 10_000), rounds=st.integers(1, 12))
def test_the_weighted_error_of_boosting_falls(seed: int, rounds: int) -> None:
    random = np.random.default_rng(seed)
    pairs, filters = 200, 30
    is_match = np.arange(pairs) < pairs // 2
    first = random.standard_normal((filters, pairs)).astype(np.float32)
    noise = random.standard_normal((filters, pairs)).astype(np.float32)
    second = np.where(is_match, first + noise * np.linspace(0.3, 2, filters)[:, None], noise)
    chosen, losses = boost(first, second.astype(np.float32), is_match, rounds)
    assert all(b < a for a, b in zip([1.0, *losses], losses, strict=False))
    assert len({index for index, _ in chosen}) == rounds
    # The loss bounds the weighted share of pairs that the sum of classifiers gets wrong.
    assert chosen[0][0] < filters // 2


def test_boosting_finds_the_filter_that_tells_pairs_apart() -> None:
    random = np.random.default_rng(0)
    is_match = np.arange(400) < 200
    first = random.standard_normal((20, 400)).astype(np.float32)
    second = random.standard_normal((20, 400)).astype(np.float32)
    second[7, is_match] = first[7, is_match]
    second[7, ~is_match] = -first[7, ~is_match]
    second[7, 0] = -first[7, 0]  # one mistake, so that the error is not 0
    [(index, threshold)], [loss] = boost(first, second, is_match, 1)
    assert index == 7
    assert loss < 0.5
    spread = np.concatenate([first[7], second[7]])
    assert np.quantile(spread, QUANTILES[0]) <= threshold <= np.quantile(spread, QUANTILES[-1])


def test_agreement_is_beyond_chance() -> None:
    random = np.random.default_rng(0)
    one, other = random.integers(1 << 32, size=(2, 400), dtype=np.uint32)
    assert agreement(one, one) == pytest.approx(1)
    assert agreement(one, other) == pytest.approx(0, abs=0.05)
    drone = np.full(400, 0x5A5A1234, np.uint32)
    assert agreement(drone, drone) == 0  # every frame is like every other


def test_filters_are_read_as_written(tmp_path: Path) -> None:
    some = [BoxFilter(1, 2, 3, 4, 0.5), BoxFilter(4, 0, 1, 2, -1.25)]
    save_filters(some, 'a "note"', tmp_path / "p.json")
    assert load_filters(tmp_path / "p.json") == some


@pytest.mark.slow
@pytest.mark.parametrize("start_s", [0.0, 7.013, 29.5])
def test_a_part_of_a_track_is_found_where_it_is(tracks: list[np.ndarray], start_s: float) -> None:
    filters = load_filters()
    made = [sub_fingerprints(spectral_image(track), filters) for track in tracks]
    index = PairwiseIndex(filters, list("abcd"), [b for b, _ in made], [s for _, s in made])
    start = round(start_s * RATE)
    hiss = np.random.default_rng(1).standard_normal(10 * RATE).astype(np.float32)
    query = tracks[2][start : start + 10 * RATE] + 0.01 * hiss
    found = index.query(query)
    assert found is not None
    track, place, score = found
    assert track == "c"
    assert abs(place - start) <= HOP
    assert score > 0.6
    other = index.query(compose(99, 10.0))
    assert other is None or other[2] < score - 0.1
    assert index.query(np.zeros(10 * RATE, np.float32)) is None
    assert index.query(np.zeros(100, np.float32)) is None


def test_no_part_of_airsift_uses_it() -> None:
    for package in ("airsift", "stream", "model", "fingerprint"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom):
                    assert not (node.module or "").startswith("bench"), path
