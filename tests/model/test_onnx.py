from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from airsift.errors import ConfigError, SpecMismatch
from model.export import onnx as onnx_files
from model.export import torchscript
from model.networks.pooled import Network
from model.spec import ModelSpec

pytestmark = pytest.mark.long

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


PARTS = ("embed", "predict")


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(1)
    network = Network(maps=(6, 12, 24, 32), frame_size=48)
    network.train()
    for _ in range(3):
        network(torch.rand(8, 250, 144) * 12)
    return network.eval()


@pytest.fixture(scope="module")
def spec(network) -> ModelSpec:
    return torchscript.spec_of(network, "nothing", ("female", "male"))


@pytest.fixture(scope="module")
def files(network, spec, tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("model")
    files = onnx_files.write(network, spec, folder / "voice.pt")
    assert sorted(folder.iterdir()) == sorted(files)
    return files


def test_onnxruntime_computes_what_the_network_does_in_any_batch_and_length(network, files) -> None:
    embed, predict = (
        onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        for file in files
    )
    for batch, length in ((1, 250), (2, 40), (5, 611)):
        columns = torch.rand(batch, length, 144) * 12
        with torch.inference_mode():
            wanted = network.embed(columns)
        (frames,) = embed.run(["frames"], {"columns": columns.numpy()})
        np.testing.assert_allclose(frames, wanted.numpy(), atol=1e-4)
    for batch in (1, 7):
        columns = torch.rand(batch, 250, 144) * 12
        with torch.inference_mode():
            frames = network.embed(columns)
            p, moments = network.predict(frames)
        found = predict.run(["probabilities", "moments"], {"frames": frames.numpy()})
        np.testing.assert_allclose(found[0], p.numpy(), atol=1e-4)
        np.testing.assert_allclose(found[1], moments.numpy(), atol=1e-4)


def test_every_file_carries_the_spec(files, spec) -> None:
    for file in files:
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        text = session.get_modelmeta().custom_metadata_map[onnx_files.SPEC_KEY]
        assert ModelSpec.from_json(text) == spec


def tampered(file: Path, to: Path) -> Path:
    """Copy a model with its largest weights moved by a tenth."""
    model = onnx.load(file)
    weights = max(model.graph.initializer, key=lambda each: len(each.raw_data))
    values = np.frombuffer(weights.raw_data, np.float32).copy()
    values += 0.1
    weights.raw_data = values.tobytes()
    onnx.save(model, to)
    return to


@pytest.mark.parametrize("part", PARTS)
def test_a_file_that_computes_something_else_is_refused(network, spec, files, tmp_path, part):
    file = files[PARTS.index(part)]
    onnx_files.check(network, part, spec, file)
    with pytest.raises(SpecMismatch, match="differs from the eager network by") as caught:
        onnx_files.check(network, part, spec, tampered(file, tmp_path / "t.onnx"))
    assert "\n" not in str(caught.value)


def test_another_spec_or_no_model_is_refused(network, spec, files, tmp_path) -> None:
    other = torchscript.spec_of(network, "something else", ("female", "male"))
    with pytest.raises(SpecMismatch, match="another spec"):
        onnx_files.check(network, "embed", other, files[0])
    (tmp_path / "x.onnx").write_bytes(b"not a model")
    with pytest.raises(SpecMismatch, match=r"x\.onnx is not an ONNX file"):
        onnx_files.check(network, "embed", spec, tmp_path / "x.onnx")


def test_what_is_refused_is_not_left_behind(network, spec, files, tmp_path, monkeypatch) -> None:
    def dishonest(network, part, spec, file):
        tampered(files[PARTS.index(part)], file)

    monkeypatch.setattr(onnx_files, "_write_part", dishonest)
    with pytest.raises(SpecMismatch, match="differs"):
        onnx_files.write(network, spec, tmp_path / "m.pt")
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named(network, spec, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(onnx_files, "can_write", lambda: False)
    with pytest.raises(ConfigError, match=r"airsift\[training\]"):
        onnx_files.write(network, spec, tmp_path / "m.pt")
