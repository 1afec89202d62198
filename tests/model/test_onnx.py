"""The file for onnxruntime: what is written is checked, and what does not fit is refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from airsift.errors import ConfigError, SpecMismatch
from model.export import onnx as onnx_files
from model.export import torchscript
from model.frontend.rolling_cqt import RollingCQT
from model.networks import presets
from model.networks.pooled import Network
from model.onnx_backend import OnnxBackend, session
from model.spec import ModelSpec
from model.weights import onnx_file, read_spec, sha256_of

pytestmark = pytest.mark.long

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(1)
    network = Network(maps=(6, 12, 24, 32), frame_size=48)
    network.train()
    for _ in range(3):
        network(torch.rand(8, 250, 144) * 12)
    return network.eval()


@pytest.fixture(scope="module")
def model(network, tmp_path_factory) -> Path:
    """Return a TorchScript file with the file for onnxruntime beside it."""
    path = tmp_path_factory.mktemp("model") / "voice.pt"
    spec = torchscript.export(network, path, training_data="nothing", labels=("female", "male"))
    assert onnx_files.write(network, spec, path) == onnx_file(path)
    assert sorted(path.parent.iterdir()) == [onnx_file(path), path]
    return path


def graphs(model: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(onnx_file(model)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(model: Path, **changed: bytes | None) -> None:
    """Write a file again with other members; None leaves one out."""
    members = graphs(model) | {name.replace("_", "."): data for name, data in changed.items()}
    with zipfile.ZipFile(onnx_file(model), "w") as archive:
        for name, data in members.items():
            if data is not None:
                archive.writestr(name, data)


@pytest.fixture
def copied(model, tmp_path) -> Path:
    for path in (model, onnx_file(model)):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / model.name


def test_onnxruntime_computes_what_the_network_does_in_any_batch_and_length(network, model) -> None:
    of_file = {name: session(data) for name, data in graphs(model).items() if ".onnx" in name}
    assert set(of_file) == {"columns.onnx", "embed.onnx", "decide.onnx", "predict.onnx"}
    for batch, length in ((1, 250), (2, 40), (5, 611)):
        columns = torch.rand(batch, length, 144) * 12
        with torch.inference_mode():
            wanted = network.embed(columns)
        (frames,) = of_file["embed.onnx"].run(["frames"], {"columns": columns.numpy()})
        np.testing.assert_allclose(frames, wanted.numpy(), atol=1e-4)
    for batch, n in ((1, 22), (7, 22), (2, 1), (3, 21)):
        frames = torch.rand(batch, n, 48) * 3
        with torch.inference_mode():
            p = network.decide(frames)
        (found,) = of_file["decide.onnx"].run(["probabilities"], {"frames": frames.numpy()})
        np.testing.assert_allclose(found, p.numpy(), atol=1e-4)
    with torch.inference_mode():
        frames = network.embed(torch.rand(4, 250, 144) * 12)
        p, moments = network.predict(frames)
    found = of_file["predict.onnx"].run(["probabilities", "moments"], {"frames": frames.numpy()})
    np.testing.assert_allclose(found[0], p.numpy(), atol=1e-4)
    np.testing.assert_allclose(found[1], moments.numpy(), atol=1e-4)


@pytest.mark.parametrize("compression", [0.0, 1.0, 10_000.0])
def test_columns_of_any_compression_are_those_of_torch(compression) -> None:
    from model.export.columns_graph import columns_graph

    graph = columns_graph(compression).SerializeToString()
    onnx_files.check_columns(graph, RollingCQT(compression))
    with pytest.raises(SpecMismatch, match=r"columns.onnx differs from torch by .* for the shape"):
        onnx_files.check_columns(graph, RollingCQT(2 * compression + 0.5))


@pytest.mark.parametrize("name", ["slim", "report2015"])
def test_a_network_of_another_kind_is_written_too(name, tmp_path) -> None:
    torch.manual_seed(1)
    other = presets.make(name, 3).eval()
    path = tmp_path / "m.pt"
    spec = torchscript.export(other, path, training_data="", labels=("a", "b", "c"))
    onnx_files.write(other, spec, path)
    loaded = OnnxBackend().classifier(path)
    columns = torch.rand(2, 300, 144) * 12
    with torch.inference_mode():
        wanted = other.decide(other.embed(columns[:, :250]))
    found = loaded.decide(loaded.embed(columns.numpy()[:, :250]))
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)


def test_the_file_carries_the_spec_and_the_hash_of_its_source(model) -> None:
    loaded = OnnxBackend().classifier(model)
    assert loaded.spec == read_spec(model) == read_spec(onnx_file(model))
    manifest = json.loads(graphs(model)["manifest.json"])
    assert manifest["torchscript_sha256"] == sha256_of(model)


def test_the_same_network_is_the_same_file(network, copied) -> None:
    before = onnx_file(copied).read_bytes()
    onnx_files.write(network, read_spec(copied), copied)
    assert onnx_file(copied).read_bytes() == before


def test_it_needs_no_torchscript_file(copied) -> None:
    copied.unlink()
    assert OnnxBackend().classifier(copied).spec.labels == ("female", "male")
    assert read_spec(copied).labels == ("female", "male")


def test_the_file_of_another_model_is_refused_and_both_are_named(network, copied) -> None:
    before = sha256_of(copied)
    torchscript.export(network, copied, training_data="more", labels=("female", "male"))
    with pytest.raises(SpecMismatch) as caught:
        OnnxBackend().classifier(copied)
    message = str(caught.value)
    for part in (str(copied), str(onnx_file(copied)), before, sha256_of(copied), "export it again"):
        assert part in message


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"manifest_json": None}, "is not a file that `airsift export` of this version wrote"),
        ({"manifest_json": b"{}"}, "is not a file that `airsift export` of this version wrote"),
        (
            {"manifest_json": b'{"schema": "x/9", "torchscript_sha256": "", "latency": 0, '
             b'"history": 0}'},
            "has schema 'x/9', airsift reads 'airsift.onnx/1'",
        ),
        ({"airsift_json": None}, "carries no spec"),
        ({"embed_onnx": b"no graph"}, "onnxruntime .* does not load embed.onnx"),
        ({"embed_onnx": None}, "onnxruntime .* does not load embed.onnx"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_in_one_line(copied, changed, message) -> None:
    rewrite(copied, **changed)
    with pytest.raises(SpecMismatch, match=message) as caught:
        OnnxBackend().classifier(copied).embed(np.zeros((1, 80, 144), np.float32))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_names_the_command_that_writes_it(tmp_path) -> None:
    with pytest.raises(SpecMismatch, match=r"m\.onnx\.zip: No such file.*`airsift export`"):
        OnnxBackend().front_end(tmp_path / "m.pt")


def tampered(graph: bytes) -> bytes:
    """Move the largest weights of a graph by a tenth."""
    model = onnx.load_from_string(graph)
    weights = max(model.graph.initializer, key=lambda each: len(each.raw_data))
    values = np.frombuffer(weights.raw_data, np.float32).copy()
    values += 0.1
    weights.raw_data = values.tobytes()
    return model.SerializeToString()


@pytest.mark.parametrize("part", ["embed", "decide", "predict"])
def test_a_graph_that_computes_something_else_is_refused(network, model, part) -> None:
    spec, graph = read_spec(model), graphs(model)[f"{part}.onnx"]
    onnx_files.check(network, part, spec, graph)
    with pytest.raises(SpecMismatch, match="differs from torch by") as caught:
        onnx_files.check(network, part, spec, tampered(graph))
    assert "\n" not in str(caught.value)
    with pytest.raises(SpecMismatch, match="is not a graph that onnxruntime loads"):
        onnx_files.check(network, part, spec, b"no graph")


def test_what_is_refused_is_not_written(network, copied, monkeypatch) -> None:
    onnx_file(copied).unlink()
    honest = onnx_files._network_graph
    monkeypatch.setattr(onnx_files, "_network_graph", lambda *args: tampered(honest(*args)))
    with pytest.raises(SpecMismatch, match="differs"):
        onnx_files.write(network, read_spec(copied), copied)
    assert list(copied.parent.iterdir()) == [copied]


def test_missing_packages_are_named(network, copied, monkeypatch) -> None:
    monkeypatch.setattr(onnx_files, "can_write", lambda: False)
    with pytest.raises(ConfigError, match=r"airsift\[training\]"):
        onnx_files.write(network, ModelSpec(), copied)
