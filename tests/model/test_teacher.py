from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import ConfigError
from model.corpus import targets, teacher
from tests.model.stores import untrained_teacher

if TYPE_CHECKING:
    from pathlib import Path


def test_another_file_than_the_published_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=teacher.FILE):
        teacher.load_teacher(tmp_path)
    (tmp_path / teacher.CLASSES).write_text("index,mid,display_name\n0,x,Speech\n")
    (tmp_path / teacher.FILE).write_bytes(b"another")
    with pytest.raises(ConfigError, match=rf"{teacher.FILE}: its SHA-256 is .* not "):
        teacher.load_teacher(tmp_path)
    monkeypatch.setattr(teacher, "SHA256", hashlib.sha256(b"another").hexdigest())
    with pytest.raises(ConfigError, match=rf"{teacher.CLASSES}: its SHA-256 is .* not "):
        teacher.load_teacher(tmp_path)


NAMES = ["Speech", "Music", "Singing", "Rapping", "Rain"]


@pytest.fixture(scope="module")
def untrained() -> teacher.Teacher:
    return untrained_teacher()


@pytest.mark.parametrize("seconds", [0.3, 0.5, 3.0, 10.2, 10.3, 26.0])
def test_tags_are_a_row_every_half_second(untrained: teacher.Teacher, seconds: float) -> None:
    samples = np.random.default_rng(0).standard_normal(int(seconds * 16_000)).astype(np.float32)
    tags = untrained.tags(samples)
    assert tags.shape == (-(-len(samples) // teacher.ROW), len(untrained.names))
    assert tags.dtype == np.uint8


def noise_then_tone() -> np.ndarray:
    """Return 10 s of noise and 10 s of a tone."""
    noise = 0.1 * np.random.default_rng(1).standard_normal(10 * 16_000)
    tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(10 * 16_000) / 16_000)
    return np.concatenate([noise, tone]).astype(np.float32)


def test_a_row_is_the_mean_of_the_5_s_around_it(
    untrained: teacher.Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With features that depend on nothing around them, a change at 10 s is a ramp of 5 s."""

    class Local(torch.nn.Module):
        def forward(self, bands: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.avg_pool2d(bands, 32).expand(-1, 384, -1, -1)

    def classify(_: teacher.Teacher, pooled: torch.Tensor) -> torch.Tensor:
        return torch.logit((pooled[:, :1] + 2.0) / 5.0, eps=1e-6)

    monkeypatch.setitem(untrained._modules, "features", Local())
    monkeypatch.setattr(teacher.Teacher, "classify", classify)
    rows = untrained.tags(noise_then_tone())[:, 0].astype(np.float32)
    share = (rows - rows[5]) / (rows[-5] - rows[5])
    centres = (np.arange(40) + 0.5) / 2
    assert share == pytest.approx(np.clip((centres - 7.5) / 5.0, 0.0, 1.0), abs=0.1)
    assert abs(rows[-5] - rows[5]) > 30


@given(st.sampled_from(["speech", "music", "singing", "noise"]), st.booleans())
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
