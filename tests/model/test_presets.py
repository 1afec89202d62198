from __future__ import annotations

from pathlib import Path

import pytest
import torch

from airsift.errors import ConfigError
from model import classifier
from model.export import torchscript
from model.networks import presets


def made(name: str, labels: int = 2) -> torch.nn.Module:
    """Return a network with statistics as after training."""
    torch.manual_seed(1)
    network = presets.make(name, labels)
    network.train()
    for _ in range(2):
        network(torch.rand(4, 250, 144) * 12)
    return network.eval()


@pytest.fixture(scope="module", params=list(presets.PRESETS))
def network(request: pytest.FixtureRequest) -> torch.nn.Module:
    return made(request.param)


def test_a_frame_is_of_its_own_columns_alone(network) -> None:
    columns = torch.rand(2, 400, 144) * 12
    with torch.inference_mode():
        whole = network.embed(columns)
        later = network.embed(columns[:, 50:300])
    assert whole.shape == (
        2, (400 - network.context) // network.stride + 1, network.frame_size,
    )  # fmt: skip
    first = 50 // network.stride
    torch.testing.assert_close(later, whole[:, first : first + later.shape[1]], atol=1e-4, rtol=0)


@pytest.mark.long
def test_what_is_exported_is_what_was_trained(network, tmp_path: Path) -> None:
    spec = torchscript.export(network, tmp_path / "m.pt", training_data="none")
    loaded = classifier.load(tmp_path / "m.pt")
    assert loaded.spec == spec
    columns = torch.rand(3, 250, 144) * 12
    with torch.inference_mode():
        wanted = torch.sigmoid(network(columns))
    frames = loaded.embed(columns)
    assert frames.shape[1] == spec.window_frames
    torch.testing.assert_close(loaded.decide(frames), wanted, atol=1e-4, rtol=0)


def test_the_softmax_network_predicts_one_class() -> None:
    network = made("report2015-softmax")
    with torch.inference_mode():
        p = torch.sigmoid(network(torch.rand(5, 250, 144) * 12))
    torch.testing.assert_close(p.sum(1), torch.ones(5))


def test_names_and_labels_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="network='resnet' is unknown: use one of pooled"):
        presets.make("resnet", 2)
    with pytest.raises(ConfigError, match="two outputs, not 3"):
        presets.make("report2015-softmax", 3)
    assert presets.make("slim", 5)(torch.rand(2, 250, 144)).shape == (2, 5)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    from model.training import states

    facts = {
        "network": "slim",
        "labels": ["a"],
        "weights": made("pooled").state_dict(),
        "record": {},
    }
    states.save(facts, tmp_path / "network.pt")
    with pytest.raises(ConfigError, match="other weights than the network 'slim'") as caught:
        torchscript.trained_network(tmp_path / "network.pt")
    assert "\n" not in str(caught.value)
