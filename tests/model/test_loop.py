from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from airsift.errors import ConfigError
from model.corpus.feature_store import FeatureStore, TakeRow
from model.corpus.teacher import CLASSES_COUNT, ROW_COLUMNS
from model.networks import presets
from model.networks.pooled import Network
from model.training import loop, plot, states, validation
from tests.model.stores import store_of

pytestmark = pytest.mark.long

LENGTH = 600
KINDS = ("speech", "music", "singing", "noise")


@pytest.fixture(scope="module")
def store() -> FeatureStore:
    """Speech that comes and goes, music that stays: easy, but not for a network of chance."""
    random = np.random.default_rng(0)
    parts, takes = [], []
    for number, kind in enumerate(KINDS * 2):
        base = random.uniform(0, 3, (LENGTH, 144))
        if kind == "speech":
            base[:, 20:90] += 6 * (np.sin(np.arange(LENGTH) / 2)[:, None] > 0)
        elif kind != "noise":
            base[:, random.integers(0, 144, 12)] += 7
        parts.append(base.astype(np.float16))
        takes.append(TakeRow(f"{kind}:{number}", kind, number * LENGTH, (number + 1) * LENGTH))
    columns = np.concatenate(parts)
    return store_of(columns, takes)


@pytest.fixture(scope="module")
def held_out(store: FeatureStore) -> validation.Validation:
    columns = torch.from_numpy(store.columns).view(-1, LENGTH, 144)[:, :250].half()
    truth = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]] * 2)
    return validation.Validation(columns, truth, list(KINDS) * 2)


def settings(**changes: object) -> loop.Settings:
    values = {"steps": 6, "batch": 8, "validate_every": 3, "filter_labels_at": 1.0, **changes}
    return loop.Settings(**values)  # type: ignore[arg-type]


def tagged(store: FeatureStore) -> FeatureStore:
    """Return the store with tags."""
    rows = LENGTH // ROW_COLUMNS
    takes = [each._replace(first_tag=rows * n) for n, each in enumerate(store.takes)]
    random = np.random.default_rng(1)
    tags = random.integers(0, 256, (rows * len(takes), CLASSES_COUNT), dtype=np.uint8)
    return FeatureStore(store.columns, store.targets, takes, tags)


@pytest.mark.parametrize("teacher", [False, True], ids=["no teacher", "teacher"])
def test_a_seed_gives_one_network_even_if_interrupted(
    store: FeatureStore, held_out: validation.Validation, tmp_path: Path, *, teacher: bool
) -> None:
    """The layer that learns the tags goes on too, with the state of its optimiser."""
    store = tagged(store) if teacher else store
    lines: list[str] = []
    whole = loop.train(store, held_out, settings(), tmp_path / "whole", lines.append)

    class Interruption(Exception):
        pass

    def stop(_: str) -> None:
        raise Interruption

    with pytest.raises(Interruption):
        loop.train(store, held_out, settings(), tmp_path / "parts", stop)
    parts = loop.train(store, held_out, settings(), tmp_path / "parts", lines.append)
    for name, values in whole.state_dict().items():
        assert torch.equal(values, parts.state_dict()[name]), name
    one, other = (
        states.load(tmp_path / run / "state.pt")["tag head"] for run in ("whole", "parts")
    )
    assert one
    for name, values in one.items():
        assert torch.equal(values, other[name]), name
    for name in ("validations.csv", "batches.csv"):
        assert (tmp_path / "whole" / name).read_text() == (tmp_path / "parts" / name).read_text()
    assert len((tmp_path / "whole" / "batches.csv").read_text().splitlines()) == 1 + 6
    assert sorted(p.name for p in (tmp_path / "whole").iterdir()) == [
        "batches.csv", "best.pt", "initial.pt", "last.pt", "state.pt", "validations.csv",
    ]  # fmt: skip


def test_tags_train_the_network_and_their_layer(
    store: FeatureStore, held_out: validation.Validation, tmp_path: Path
) -> None:
    """Without tags, another network, and a layer for them that stays as it was drawn."""
    states = []
    for name, each in (("without", store), ("with", tagged(store))):
        loop.train(each, held_out, settings(), tmp_path / name, str)
        states.append(states.load(tmp_path / name / "state.pt"))
    without, with_tags = states
    assert not all(
        torch.equal(values, without["network"][name])
        for name, values in with_tags["network"].items()
    )
    drawn, trained = (each["tag head"]["bias"] for each in states)
    assert float((trained - drawn).abs().max()) > 1e-4


def test_the_cost_falls(
    store: FeatureStore, held_out: validation.Validation, tmp_path: Path
) -> None:
    loop.train(store, held_out, settings(steps=30, batch=16, validate_every=5), tmp_path, str)
    costs = [
        float(line.split(",")[1]) for line in (tmp_path / "validations.csv").read_text().split()[1:]
    ]
    assert costs[-1] < costs[0] - 0.05


def test_other_settings_do_not_go_on_with_a_training(
    store: FeatureStore, held_out: validation.Validation, tmp_path: Path
) -> None:
    loop.train(store, held_out, settings(), tmp_path, str)
    with pytest.raises(ConfigError, match="other settings"):
        loop.train(store, held_out, settings(seed=2), tmp_path, str)


def test_other_labels_or_damage_do_not_either(
    store: FeatureStore, held_out: validation.Validation, tmp_path: Path
) -> None:
    loop.train(store, held_out, settings(), tmp_path, str)
    with pytest.raises(ConfigError, match="labels=") as caught:
        loop.train(store, held_out, settings(), tmp_path, str, labels=("advert", "programme"))
    assert "\n" not in str(caught.value)
    (tmp_path / "state.pt").write_bytes(b"half of a st")
    with pytest.raises(ConfigError, match=r"state\.pt is no state of a training"):
        loop.train(store, held_out, settings(), tmp_path, str)


def test_the_label_noise_filter_is_for_speech_and_music_only(
    store: FeatureStore, held_out: validation.Validation, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"filter_labels_at=0\.4"):
        loop.train(
            store, held_out, settings(filter_labels_at=0.4), tmp_path, str, labels=("a", "b")
        )


@pytest.mark.parametrize("name", ["slim", "report2015-softmax"])
def test_another_network_by_its_name(
    store: FeatureStore, held_out: validation.Validation, tmp_path: Path, name: str
) -> None:
    only = validation.Validation(held_out.columns[:4], held_out.truth[:4], held_out.names[:4])
    values = {"steps": 1, "batch": 2, "validate_every": 1, "network": name}
    network = loop.train(store, only, settings(**values), tmp_path, str)
    assert type(network) is presets.Assembled


def test_a_full_disk_stops_training_in_one_line_and_leaves_the_last_whole_state(
    store: FeatureStore,
    held_out: validation.Validation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second validation finds the disk full: the files of the first are unchanged."""
    before: dict[str, bytes] = {}

    def fill(_: str) -> None:
        before.update({p.name: p.read_bytes() for p in tmp_path.iterdir()})
        monkeypatch.setattr(Path, "write_bytes", full)

    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as out:
            out.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ConfigError, match=r"cannot be written \(No space left") as caught:
        loop.train(store, held_out, settings(), tmp_path, fill)
    assert "\n" not in str(caught.value)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    monkeypatch.undo()
    loop.train(store, held_out, settings(), tmp_path, str)


def test_metrics_are_reported(
    store: FeatureStore, held_out: validation.Validation, tmp_path: Path
) -> None:
    seen: list[tuple[int, list[str]]] = []
    loop.train(
        store, held_out, settings(steps=3), tmp_path, str,
        watch=lambda step, metrics: seen.append((step, list(metrics))),
    )  # fmt: skip
    batch = ["train cost", "train error"]
    assert seen == [
        (1, batch), (2, batch), (3, batch),
        (3, ["validation cost", "validation error", "best"]),
    ]  # fmt: skip


def test_training_curves_are_drawn(
    store: FeatureStore, held_out: validation.Validation, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    loop.train(store, held_out, settings(), tmp_path, str)
    plot.draw(tmp_path, tmp_path / "training_curves.png")
    assert (tmp_path / "training_curves.png").read_bytes().startswith(b"\x89PNG")
    plot.draw(tmp_path, tmp_path / "training_curves.svg")
    assert (tmp_path / "training_curves.svg").read_text().count("validation") >= 2


def test_a_take_that_a_confident_network_contradicts_is_found(store: FeatureStore) -> None:
    class Certain(Network):
        def forward(self, columns: torch.Tensor) -> torch.Tensor:
            return torch.tensor([5.0, -5.0]).repeat(len(columns), 1)

    found = validation.find_mislabelled(Certain(), store)
    assert {store.takes[place][1] for place in found} == {"music", "singing", "noise"}


def test_calibration_softens_an_overconfident_network(held_out: validation.Validation) -> None:
    class Overconfident(Network):
        def forward(self, columns: torch.Tensor) -> torch.Tensor:
            wrong_once = held_out.truth.clone()
            wrong_once[0] = 1 - wrong_once[0]
            return (wrong_once * 40 - 20)[: len(columns)]

    network = Overconfident()
    validation.calibrate(network, held_out)
    assert float(network.get_buffer("temperature").min()) > 2.0
