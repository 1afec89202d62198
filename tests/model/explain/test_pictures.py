from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from model.explain import pictures


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_a_picture_is_read_as_it_was_written(values: np.ndarray) -> None:
    image = pytest.importorskip("PIL.Image")
    read = image.open(io.BytesIO(pictures.png(values)))
    assert read.mode == "L"
    assert np.array_equal(np.asarray(read), values)


def test_time_goes_right_frequency_up_and_channels_down() -> None:
    values = np.zeros((2, 3, 4), np.float32)
    values[0, 2, 0] = 1  # the last frame and lowest bin of the first channel
    values[1, 0, 3] = 2  # the first frame and highest bin of the second
    picture = pictures.upright(values)
    assert picture.shape == (8, 3)
    assert (picture[3, 2], picture[4, 0]) == (1, 2)


def test_greys() -> None:
    values = np.array([[-2.0, 0.0, 1.0, 4.0]], np.float32)
    assert pictures.positive(values, 4.0).tolist() == [[0, 0, 64, 255]]
    assert pictures.signed(values, 2.0).tolist() == [[1, 128, 192, 255]]
    assert not pictures.positive(np.zeros((1, 2), np.float32), 0.0).any()
    assert (pictures.signed(np.zeros((1, 2), np.float32), 0.0) == pictures.ZERO).all()


def test_structure_is_the_share_of_one_course_of_one_spectrum() -> None:
    course, spectrum = np.array([1.0, -2.0, 0.5]), np.array([1.0, 0.0, 3.0, -1.0])
    product = np.outer(course, spectrum)[None, None].astype(np.float32)
    assert pictures.structure(product) == pytest.approx(1)
    two = np.eye(2, dtype=np.float32)[None, None]  # two courses of equal energy
    assert pictures.structure(two) == pytest.approx(0.5)
    padded = product[:, :, :2, :2]
    assert pictures.structure(np.concatenate([padded, two])) == pytest.approx(0.75)
    assert pictures.structure(np.concatenate([two, 0 * two])) == pytest.approx(0.5)
    assert pictures.structure(0 * two) == 0


@pytest.mark.slow
def test_a_sheet_has_the_strongest_filters_in_their_order(tmp_path) -> None:
    filters = np.zeros((5, 1, 2, 3), np.float32)
    for number, norm in enumerate((3, 0, 2, 1, 4)):
        filters[number, 0, 0, number % 3] = norm
    sheet = pictures.mosaic(filters, limit=3)
    assert sheet.shape == (5, 3 * 4)
    shown = [np.nan_to_num(sheet[1:-1, 4 * tile + 1 : 4 * tile + 3]) for tile in range(3)]
    for tile, number in zip(shown, (0, 2, 4), strict=True):
        assert np.array_equal(tile, (pictures.upright(filters[number]) > 0).astype(float))
    assert np.nanmax(np.abs(pictures.mosaic(np.zeros((2, 1, 2, 2), np.float32)))) == 0

    pytest.importorskip("matplotlib")
    file = tmp_path / "filters.png"
    pictures.draw_sheet([("one", filters), ("other", filters[:, :, :1])], file)
    assert file.read_bytes().startswith(b"\x89PNG")
