from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from airsift.errors import SpecMismatch
from model.spec import COLUMN_FIELDS, ModelSpec


def test_a_spec_survives_json() -> None:
    spec = ModelSpec(training_data="chansons d'été", weights_sha256="ab" * 32)
    assert ModelSpec.from_json(spec.to_json()) == spec


def test_a_window_of_5_s_has_22_frames() -> None:
    assert ModelSpec().window_frames == 22


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "airsift.model/9"}, "schema 'airsift.model/9'"),
        ({"hop": "320"}, "hop='320', which should be of type int"),
        ({"colour": "red"}, "differs in the fields colour"),
    ],
)
def test_a_damaged_spec_is_refused_by_name(change: dict[str, object], message: str) -> None:
    found = {**json.loads(ModelSpec().to_json()), **change}
    with pytest.raises(SpecMismatch, match=message):
        ModelSpec.from_json(json.dumps(found))


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(SpecMismatch, match="not JSON"):
        ModelSpec.from_json("speech, music")


def test_frames_must_fall_on_the_windows_grid() -> None:
    with pytest.raises(SpecMismatch, match="step_columns=50"):
        replace(ModelSpec(), stride_columns=15, context_columns=40)


def test_another_front_end_is_refused_with_every_difference() -> None:
    spec = ModelSpec()
    front_end = SimpleNamespace(**{name: getattr(spec, name) for name in COLUMN_FIELDS})
    spec.check_front_end(front_end)
    front_end.hop, front_end.n_bins = 160, 72
    with pytest.raises(SpecMismatch, match=r"hop=160 .*model has 320.*n_bins=72") as caught:
        spec.check_front_end(front_end)
    assert "\n" not in str(caught.value)
