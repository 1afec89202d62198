from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from airsift.errors import AirsiftError, ConfigError, SpecMismatch
from model import classifier, weights
from model.corpus.decoding import decode
from model.experiments.architecture import ConvolutionalNetwork
from model.experiments.features import catalogue
from model.explain.subject import SHIPPED, Subject, find, read, rows_of
from model.networks import presets
from tests.model.explain.networks import write_rows, write_training

ROOT = Path(__file__).parents[3]


def demo_window(samples: int) -> torch.Tensor:
    path = ROOT / "stream" / "demo" / "audio" / "palace.opus"
    cut = decode(path.read_bytes(), path.name, seconds=9.0)[48_000 : 48_000 + samples]
    return torch.from_numpy(cut.astype(np.float32) / 32768)[None]


def frames_of(subject: Subject, inputs: torch.Tensor) -> torch.Tensor:
    last = subject.chain.trace(inputs).maps[subject.chain.names[-1]]
    return last.unsqueeze(1) if last.dim() == 2 else last.squeeze(3).transpose(1, 2)


@pytest.mark.slow
def test_the_shipped_network_is_the_exported_one_layer_by_layer() -> None:
    pytest.importorskip("onnx")
    subject = read(Path(SHIPPED))
    assert subject.labels == ("speech", "music")
    inputs = subject.features(demo_window(subject.samples))
    exported = classifier.load()
    expected = exported.embed(inputs[:, 0])
    with torch.no_grad():
        found = frames_of(subject, inputs)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        p = torch.sigmoid(subject.log_odds(inputs))
    torch.testing.assert_close(p, exported.decide(expected), atol=1e-4, rtol=1e-4)
    assert p[0, 1] > 0.9  # the piece is music


@pytest.mark.slow
@pytest.mark.parametrize("preset", presets.PRESETS)
def test_a_training_is_read_layer_by_layer(preset: str, tmp_path: Path) -> None:
    file = write_training(tmp_path, preset)
    subject = read(file)
    network = presets.make(preset, 2)
    network.load_state_dict(torch.load(file, weights_only=True)["weights"])
    network.eval()
    inputs = 4 + 2 * torch.randn(2, *subject.chain.shape)
    with torch.no_grad():
        expected = network.embed(inputs[:, 0])
        torch.testing.assert_close(frames_of(subject, inputs), expected, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(
            subject.log_odds(inputs), network.scores(expected), atol=1e-3, rtol=1e-3
        )
    assert read(tmp_path).chain.names == subject.chain.names


@pytest.mark.slow
@pytest.mark.parametrize("name", ["1", "4", "8"])
def test_the_rows_of_an_experiment_are_read_layer_by_layer(name: str, tmp_path: Path) -> None:
    for file in write_rows(tmp_path, name):
        subject = read(file)
        state = torch.load(file, weights_only=True)
        inputs = 3 + torch.randn(1, *subject.chain.shape)
        with torch.no_grad():
            scores = subject.chain.trace(inputs).maps["output"]
            torch.testing.assert_close(
                subject.log_odds(inputs), scores[:, 1:] - scores[:, :1], atol=1e-4, rtol=1e-4
            )
        first = next(each for key, each in state.items() if key.endswith("weight"))
        if first.dim() == 4:
            assert subject.filters is not None
            assert np.array_equal(subject.filters[1], first.numpy())
        else:
            assert subject.filters is None
        assert read(file.parent).name == read(file.parents[1]).name == subject.name


@pytest.mark.slow
def test_the_rows_of_a_folder_are_in_the_order_of_its_table(tmp_path: Path) -> None:
    files = write_rows(tmp_path, "8")
    assert rows_of(files[0].parents[2]) == files
    assert rows_of(tmp_path / "none") == []
    title = read(files[0]).filters
    assert title is not None
    assert title[0].startswith(
        "8-penalties, without: 20 filters of 0.23 s by 3.0 octaves, structure 0."
    )


@pytest.mark.slow
def test_a_row_that_is_trained_in_another_folder_is_found(tmp_path: Path) -> None:
    """The CQT of experiment 10 is a row of experiment 4 too, at the small scale."""
    write_rows(tmp_path / "small", "4", "cqt")
    there = tmp_path / "small" / "4-depth" / "cqt-3-convolutions" / "seed-1" / "best.pt"
    home = tmp_path / "small" / "10-separation"
    assert find(home / "cqt") == there
    assert rows_of(home) == [there]
    (home / "cqt" / "seed-1").mkdir(parents=True)
    assert find(home / "cqt") == there
    with pytest.raises(ConfigError, match="is not there: name a"):
        find(home / "cqt-separated")
    shutil.copytree(tmp_path / "small", tmp_path / "tiny")
    with pytest.raises(ConfigError, match="holds no network"):
        find(tmp_path / "tiny" / "10-separation" / "cqt")


@pytest.fixture
def best(tmp_path: Path) -> Path:
    """Return a state of the first row of experiment 5."""
    return write_rows(tmp_path, "5")[0]


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("no network")
    empty = tmp_path / "empty"
    empty.mkdir()
    wrong: list[tuple[Path, type[AirsiftError], str]] = [
        (note, SpecMismatch, "is not a TorchScript file"),
        (empty, ConfigError, "holds no network: name the folder of a row"),
        (tmp_path / "gone.pt", ConfigError, "is not there: name a best.pt"),
    ]
    for path, error, message in wrong:
        with pytest.raises(error, match=message):
            read(path)
    with pytest.raises(ConfigError, match="device='tpu' is unknown"):
        read(note, device="tpu")


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="device='cuda': this machine has no GPU"):
        read(Path(SHIPPED), device="cuda")


@pytest.mark.slow
def test_a_state_of_other_layers_or_elsewhere_is_refused(best: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "a" / "b" / "c" / "best.pt"
    elsewhere.parent.mkdir(parents=True)
    shutil.copy(best, elsewhere)
    with pytest.raises(ConfigError, match="does not lie in EXPERIMENT/ROW/seed-N"):
        read(elsewhere)
    other = best.parents[2] / "no-row" / "seed-1"
    other.mkdir(parents=True)
    shutil.copy(best, other)
    with pytest.raises(ConfigError, match="the folder no-row is no row of 5-features"):
        read(other)
    small = ConvolutionalNetwork(catalogue.make("mfcc").shape, ())
    torch.save(small.state_dict(), best)
    with pytest.raises(ConfigError, match="holds other layers than the row"):
        read(best)
    for content in (b"", b"PK\x03\x04", b"x" * 100):
        best.write_bytes(content)
        with pytest.raises(ConfigError, match=r"is no state of a network \(\w+\)"):
            read(best)
    torch.save([1, 2], best)
    with pytest.raises(ConfigError, match="holds no weights"):
        read(best)


def test_an_exported_file_without_its_layers_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    alone = tmp_path / "mine.pt"
    shutil.copy(weights.DEFAULT_WEIGHTS, alone)
    with pytest.raises(SpecMismatch, match=r"mine.onnx.zip is needed .* without --no-onnx"):
        read(alone)
    with pytest.raises(SpecMismatch, match="another network than `pooled`"):
        read(weights.VOICE_WEIGHTS)
    with pytest.raises(AirsiftError):
        read(weights.onnx_file(weights.DEFAULT_WEIGHTS))
