from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from airsift.errors import ConfigError
from model.experiments import trainer
from model.experiments.architecture import Convolution, ConvolutionalNetwork, Dense, Pool
from model.experiments.penalties import Penalty
from model.experiments.trainer import Labelled, Settings

pytestmark = pytest.mark.slow
SHAPE = (1, 8, 10)
SETTINGS = Settings(epochs=4, batch=16, rate=0.03, momentum=0.9, seed=1)


def network(seed: int = 1) -> ConvolutionalNetwork:
    torch.manual_seed(seed)
    return ConvolutionalNetwork(SHAPE, [Convolution(4, (2, 5)), Pool((7, 1)), Dense(6)])


def labelled(count: int, seed: int) -> Labelled:
    """Return windows of two classes: the lower or the upper bins are louder."""
    random = np.random.default_rng(seed)
    classes = np.arange(count) % 2
    inputs = random.standard_normal((count, *SHAPE))
    inputs[classes == 0, :, :, :5] += 1
    inputs[classes == 1, :, :, 5:] += 1
    return Labelled(inputs.astype(np.float16), classes, classes.astype(np.float32))


DATA = {"train": labelled(80, 1), "validation": labelled(30, 2), "test": labelled(40, 3)}


def train(folder: Path, settings: Settings = SETTINGS, *, key: str = "k", **more):
    trained = network(settings.seed)
    lines: list[str] = []
    penalties = more.pop("penalties", [])
    seconds = trainer.train(trained, DATA, settings, penalties, folder, key, lines.append, **more)
    return trained, seconds, lines


def test_a_network_learns_and_says_so(tmp_path) -> None:
    trained, seconds, lines = train(tmp_path)
    p = trainer.predict(trained, DATA["test"].inputs)
    assert ((p > 0.5) == DATA["test"].classes).mean() > 0.95
    assert seconds > 0
    assert len(lines) == 4
    assert lines[0].startswith("epoch 1 of 4: train cost 0.")
    assert "(best " in lines[3]


def test_targets_between_the_classes_are_what_it_learns(tmp_path) -> None:
    data = labelled(80, 1)
    soft = Labelled(data.inputs, data.classes, np.where(data.classes == 1, 0.7, 0.3).astype("f4"))
    trained = network()
    settings = Settings(epochs=30, batch=16, rate=0.03, momentum=0.9, seed=1)
    trainer.train(trained, {**DATA, "train": soft}, settings, [], tmp_path, "k", lambda line: None)
    trained.load_state_dict(torch.load(tmp_path / "last.pt"))
    p = trainer.predict(trained, data.inputs)
    assert p[data.classes == 1].mean() == pytest.approx(0.7, abs=0.05)
    assert p[data.classes == 0].mean() == pytest.approx(0.3, abs=0.05)


def test_every_batch_and_every_validation_is_recorded(tmp_path) -> None:
    seen: list[tuple[int, dict[str, float]]] = []
    train(tmp_path, watch=lambda step, metrics: seen.append((step, dict(metrics))))
    names = ("batches.csv", "validations.csv")
    batches, validations = (list(csv.DictReader((tmp_path / name).open())) for name in names)
    assert [int(row["step"]) for row in batches] == list(range(1, 21))  # 5 of 16 in each epoch
    assert [int(row["step"]) for row in validations] == [5, 10, 15, 20]
    errors = [float(row["validation_error"]) for row in validations]
    best = [float(row["best"]) for row in validations]
    assert best == [min(errors[: n + 1]) for n in range(4)]
    logged = [metrics["train cost"] for _, metrics in seen if "train cost" in metrics]
    assert logged == pytest.approx([float(row["cost"]) for row in batches], abs=1e-4)
    assert sum("validation error" in metrics for _, metrics in seen) == 4
    assert (tmp_path / "training_curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_initial_the_best_and_the_last_state_are_kept(tmp_path) -> None:
    trained, _, _ = train(tmp_path)
    states = {
        name: torch.load(tmp_path / f"{name}.pt", weights_only=True)
        for name in ("initial", "best", "last")
    }
    for name, values in network().state_dict().items():
        torch.testing.assert_close(states["initial"][name], values)
    for name, values in trained.state_dict().items():
        torch.testing.assert_close(states["best"][name], values)
    assert not torch.equal(states["initial"]["layers.output.bias"], trained.layers["output"].bias)
    rows = list(csv.DictReader((tmp_path / "validations.csv").open()))
    selected = min(range(4), key=lambda n: float(rows[n]["validation_error"]))
    same = torch.equal(states["best"]["layers.output.bias"], states["last"]["layers.output.bias"])
    assert same == (selected == 3)


def test_a_resumed_training_is_the_same_as_a_whole_one(tmp_path) -> None:
    whole, _, _ = train(tmp_path / "whole")

    class Interrupted(Exception):
        pass

    def interrupt(step: int, metrics: dict[str, float]) -> None:
        if step == 13:  # within the third epoch
            raise Interrupted

    with pytest.raises(Interrupted):
        train(tmp_path / "parts", watch=interrupt)
    resumed, _, lines = train(tmp_path / "parts")
    assert [line[:7] for line in lines] == ["epoch 3", "epoch 4"]
    for name, values in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], values, atol=0, rtol=0)
    for name in ("batches.csv", "validations.csv"):
        assert (tmp_path / "parts" / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_seeds_differ_and_a_seed_repeats(tmp_path) -> None:
    first, _, _ = train(tmp_path / "a")
    again, _, _ = train(tmp_path / "b")
    assert torch.equal(first.layers["output"].bias, again.layers["output"].bias)
    settings = Settings(4, 16, 0.03, 0.9, seed=2)
    other, _, _ = train(tmp_path / "c", settings)
    assert not torch.equal(first.layers["output"].bias, other.layers["output"].bias)


@pytest.mark.parametrize(("kind", "strength"), [("L1", 0.2), ("L2", 0.2), ("L21", 0.5)])
def test_a_penalty_makes_the_weights_of_its_layer_smaller(tmp_path, kind, strength) -> None:
    plain, _, _ = train(tmp_path / "plain")
    penalties = [Penalty(kind, {"convolution 1": strength})]
    penalised, _, _ = train(tmp_path / "penalised", penalties=penalties)
    size = [each.weights("convolution 1").square().sum().item() for each in (plain, penalised)]
    assert size[1] < 0.5 * size[0]


def test_what_cannot_go_on_is_refused_in_one_line(tmp_path, monkeypatch) -> None:
    train(tmp_path / "a")
    with pytest.raises(ConfigError, match=r"a holds a training of other windows, layers or set"):
        train(tmp_path / "a", key="other")
    with pytest.raises(ConfigError, match=r"the cost is (nan|inf).*set a lower training.rate"):
        train(tmp_path / "b", Settings(4, 16, 1e30, 0.0, 1))

    def full(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 1 PB")

    monkeypatch.setattr(trainer.nn.functional, "nll_loss", full)
    with pytest.raises(ConfigError, match="a batch of 16 windows needs more memory than cpu has"):
        train(tmp_path / "c")
