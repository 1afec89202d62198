from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import ConfigError
from model.corpus import targets, teacher

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["Speech", "Music", "Singing", "Rapping", "Rain"]


def test_another_file_than_the_published_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=teacher.FILE):
        teacher.load_teacher(tmp_path)
    (tmp_path / teacher.CLASSES).write_text("index,mid,display_name\n0,x,Speech\n")
    (tmp_path / teacher.FILE).write_bytes(b"another")
    with pytest.raises(ConfigError, match=r"its SHA-256 is .* not "):
        teacher.load_teacher(tmp_path)


@pytest.fixture(scope="module")
def untrained() -> teacher.Teacher:
    """Return a teacher of five classes with random weights."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(teacher.Teacher, "load_state_dict", lambda *_: None)
        return teacher.Teacher({}, NAMES)


@pytest.mark.parametrize("seconds", [0.3, 0.5, 3.0, 10.2, 10.3, 26.0])
def test_tags_are_a_row_every_half_second(untrained: teacher.Teacher, seconds: float) -> None:
    samples = np.random.default_rng(0).standard_normal(int(seconds * 16_000)).astype(np.float32)
    tags = untrained.tags(samples)
    assert tags.shape == (-(-len(samples) // teacher.ROW), len(NAMES))
    assert tags.dtype == np.uint8


def test_tags_of_a_steady_sound_are_those_of_a_window(untrained: teacher.Teacher) -> None:
    """The features of a chunk, averaged over 5 s, are close to those of the 5 s alone."""
    samples = 0.1 * np.random.default_rng(1).standard_normal(20 * 16_000).astype(np.float32)
    rows = untrained.tags(samples).astype(np.float32) / 255
    with torch.inference_mode():
        window = teacher.upsampled(torch.from_numpy(samples[None, 7 * 16_000 : 12 * 16_000]))
        alone = torch.sigmoid(untrained(window))[0].numpy()
    assert rows[19] == pytest.approx(alone, abs=0.05)


@given(st.sampled_from(["speech", "music", "singing", "noise", "mixed"]), st.booleans())
def test_a_known_class_is_certain_and_only_coarse_lists_ask_the_teacher(
    kind: str, coarse: bool
) -> None:
    tags = np.zeros((8, len(NAMES)), np.uint8)
    tags[:, 0], tags[:, 3] = 255, 204  # speech, rapping
    active = np.arange(200) >= 100
    category = "" if coarse else "baby cry"
    found = targets.targets_of(kind, active, tags, NAMES, category).astype(np.float32)
    own = {"speech": 0, "music": 1, "singing": 1}.get(kind)
    for output, probability in ((0, 1.0), (1, 0.8)):
        if output == own:
            assert np.array_equal(found[:, output], active)
        elif kind == "mixed":
            assert found[:, output] == pytest.approx(probability, abs=1e-3)
        else:
            weight = targets.TRUST[kind] * coarse
            expected = weight * (probability - targets.UNSURE)
            assert found[:, output] == pytest.approx(expected, abs=1e-3)


def test_without_a_teacher_the_class_is_all() -> None:
    found = targets.targets_of("noise", np.ones(50, np.bool_))
    assert not found.any()


def test_values_of_rows_are_interpolated_at_the_centre_of_columns() -> None:
    rows = np.array([0.0, 1.0, 0.0], np.float32)
    columns = targets.at_columns(rows, 75)
    assert columns[37] == pytest.approx(1.0)
    assert columns[12] == pytest.approx(0.0)
    assert columns[25] == pytest.approx((25.5 - 12.5) / 25)
