from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from airsift.errors import ConfigError
from model import selection, sheet, train
from model.bank import Bank
from model.network import Network

LENGTH = 600
KINDS = ("speech", "music", "singing", "noise")


@pytest.fixture(scope="module")
def bank() -> Bank:
    """Speech that comes and goes, music that stays: easy, but not for a network of chance."""
    random = np.random.default_rng(0)
    parts, streams = [], []
    for number, kind in enumerate(KINDS * 2):
        base = random.uniform(0, 3, (LENGTH, 144))
        if kind == "speech":
            base[:, 20:90] += 6 * (np.sin(np.arange(LENGTH) / 2)[:, None] > 0)
        elif kind != "noise":
            base[:, random.integers(0, 144, 12)] += 7
        parts.append(base.astype(np.float16))
        streams.append((f"{kind}:{number}", kind, number * LENGTH, (number + 1) * LENGTH))
    columns = np.concatenate(parts)
    return Bank(columns, np.ones(len(columns), np.bool_), streams)


@pytest.fixture(scope="module")
def held_out(bank: Bank) -> selection.Validation:
    columns = torch.from_numpy(bank.columns).view(-1, LENGTH, 144)[:, :250].half()
    truth = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]] * 2)
    return selection.Validation(columns, truth, list(KINDS) * 2)


def settings(**changes: object) -> train.Settings:
    values = {"steps": 6, "batch": 8, "validate_every": 3, "clean_at": 1.0, **changes}
    return train.Settings(**values)  # type: ignore[arg-type]


def test_a_seed_gives_one_network_even_if_interrupted(
    bank: Bank, held_out: selection.Validation, tmp_path: Path
) -> None:
    lines: list[str] = []
    whole = train.train(bank, held_out, settings(), tmp_path / "whole", lines.append)

    class Interruption(Exception):
        pass

    def stop(_: str) -> None:
        raise Interruption

    with pytest.raises(Interruption):
        train.train(bank, held_out, settings(), tmp_path / "parts", stop)
    parts = train.train(bank, held_out, settings(), tmp_path / "parts", lines.append)
    for name, values in whole.state_dict().items():
        assert torch.equal(values, parts.state_dict()[name]), name
    assert (tmp_path / "whole" / "sheet.csv").read_text() == (
        tmp_path / "parts" / "sheet.csv"
    ).read_text()
    assert {"initial.pt", "best.pt", "last.pt"} <= {p.name for p in (tmp_path / "whole").iterdir()}
    assert sheet.draw(tmp_path / "whole" / "sheet.csv").count("<polyline") == 4


def test_the_cost_falls(bank: Bank, held_out: selection.Validation, tmp_path: Path) -> None:
    train.train(bank, held_out, settings(steps=30, batch=16, validate_every=5), tmp_path, str)
    costs = [float(line.split(",")[1]) for line in (tmp_path / "sheet.csv").read_text().split()[1:]]
    assert costs[-1] < costs[0] - 0.05


def test_other_settings_do_not_go_on_with_a_training(
    bank: Bank, held_out: selection.Validation, tmp_path: Path
) -> None:
    train.train(bank, held_out, settings(), tmp_path, str)
    with pytest.raises(ConfigError, match="other settings"):
        train.train(bank, held_out, settings(seed=2), tmp_path, str)


def test_a_stream_that_contradicts_a_certain_network_is_found(bank: Bank) -> None:
    class Certain(Network):
        def forward(self, columns: torch.Tensor) -> torch.Tensor:
            return torch.tensor([5.0, -5.0]).repeat(len(columns), 1)

    found = selection.disagreeing(Certain(), bank)
    assert {bank.streams[place][1] for place in found} == {"music", "singing", "noise"}


def test_calibration_softens_an_overconfident_network(held_out: selection.Validation) -> None:
    class Overconfident(Network):
        def forward(self, columns: torch.Tensor) -> torch.Tensor:
            wrong_once = held_out.truth.clone()
            wrong_once[0] = 1 - wrong_once[0]
            return (wrong_once * 40 - 20)[: len(columns)]

    network = Overconfident()
    selection.calibrate(network, held_out)
    assert float(network.get_buffer("temperature").min()) > 2.0
