"""A network of another rate: sources use it, and those that cannot are refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from airsift import config
from airsift.build import build_identify
from airsift.connect import open_source
from airsift.errors import ConfigError, SpecMismatch
from airsift.networks import build_model, model_rate
from fingerprint.catalogue import Catalogue
from model import classifier
from model.spec import ModelSpec
from model.weights import sha256_of

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
RATES = [8_000, 22_050]


class Network(torch.nn.Module):
    """Has a network's methods."""

    @torch.jit.export
    def embed(self, columns: torch.Tensor) -> torch.Tensor:
        return columns

    @torch.jit.export
    def decide(self, frames: torch.Tensor) -> torch.Tensor:
        return frames


def settings(tmp_path: Path, rate: int, *more: str) -> config.Config:
    path = tmp_path / "model.pt"
    classifier.save(torch.jit.script(Network().eval()), ModelSpec(sample_rate=rate), path)
    chosen = [f"model.path={path}", f"model.sha256={sha256_of(path)}", "model.device=cpu", *more]
    return config.load(sets=chosen, environ={}).config


@pytest.mark.parametrize("rate", RATES)
def test_a_kafka_source_counts_at_the_rate_of_the_model(
    tmp_path: Path, rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "stream.kafka.client.source.KafkaSource", lambda _, **options: opened.append(options)
    )
    chosen = settings(tmp_path, rate)
    open_source("kafka", None, chosen)
    assert [each["rate"] for each in opened] == [rate] == [model_rate(chosen)]


@pytest.mark.parametrize("rate", RATES)
def test_a_front_end_of_another_rate_is_refused_where_they_meet(tmp_path: Path, rate: int) -> None:
    from stream.offline import ClipClassifier

    with pytest.raises(SpecMismatch, match=rf"sample_rate=16000 \(the model has {rate}\)"):
        ClipClassifier(*build_model(settings(tmp_path, rate)))


@pytest.mark.parametrize("rate", RATES)
def test_a_catalogue_is_not_queried_at_another_rate(tmp_path: Path, rate: int) -> None:
    Catalogue.create(tmp_path / "shelf")
    chosen = settings(tmp_path, rate, f"identify.catalogue={tmp_path / 'shelf'}")
    with pytest.raises(ConfigError, match=rf"16000 Hz, and model.path names .* {rate} Hz"):
        build_identify(chosen, model_rate(chosen))
    assert build_identify(chosen, 16_000) is not None
