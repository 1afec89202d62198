from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import SpecMismatch
from model import classifier, weights
from model.export import torchscript
from model.networks import presets
from model.networks.inference import inference_form
from model.networks.pooled import Network
from model.spec import ModelSpec
from tests.examples import examples

SHIPPED = classifier.load()
COLUMNS = torch.rand(18, 300, 144, generator=torch.Generator().manual_seed(1)) * 8


@cache
def frames_of_all() -> torch.Tensor:
    return SHIPPED.embed(COLUMNS)


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(1)
    network = Network()
    # Statistics as after training: batch normalisation must survive being folded.
    network.train()
    for _ in range(3):
        network(torch.rand(8, 250, 144) * 12)
    return network.eval()


@pytest.mark.slow
def test_exported_is_eager_is_reloaded(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "a model.pt"
    spec = torchscript.export(network, path, training_data="nothing")
    loaded = classifier.load(path)
    columns = torch.rand(2, 300, 144) * 12
    with torch.inference_mode():
        frames = network.embed(columns)
        wanted, moments = network.predict(frames[:, :22])
    torch.testing.assert_close(loaded.embed(columns), frames, atol=1e-4, rtol=1e-3)
    again = loaded.embed(columns)[:, :22]
    torch.testing.assert_close(loaded.decide(again), wanted, atol=1e-4, rtol=0)
    torch.testing.assert_close(loaded.predict(again), (wanted, moments), atol=1e-4, rtol=0)
    assert loaded.spec == spec
    assert list(tmp_path.iterdir()) == [path]


def test_export_refuses_a_network_that_changes_when_scripted(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = inference_form(Network().eval())
    honest = classifier.script
    monkeypatch.setattr(classifier, "script", lambda _: honest(other))
    with pytest.raises(SpecMismatch, match="scripted network differs"):
        torchscript.export(network, tmp_path / "m.pt", training_data="nothing")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_not_a_model_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(b"ID3 not a model")
    with pytest.raises(SpecMismatch, match=r"song\.mp3 is not a TorchScript file") as caught:
        classifier.load(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(SpecMismatch) as again:
        weights.read_spec(path)
    assert str(again.value) == str(caught.value)
    with pytest.raises(SpecMismatch, match="No such file"):
        weights.read_spec(tmp_path / "missing.pt")
    with pytest.raises(SpecMismatch, match="No such file"):
        classifier.load(tmp_path / "missing.pt")


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_torchscript_file_without_a_spec_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bare.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(path))
    for read in (classifier.load, weights.read_spec):
        with pytest.raises(SpecMismatch, match="carries no spec"):
            read(path)


class OneByOne(torch.nn.Module):
    """A network of a version in which probabilities and moments were methods of their own."""

    @torch.jit.export
    def embed(self, columns: torch.Tensor) -> torch.Tensor:
        return columns

    @torch.jit.export
    def decide(self, frames: torch.Tensor) -> torch.Tensor:
        return frames

    @torch.jit.export
    def locate(self, frames: torch.Tensor) -> torch.Tensor:
        return frames


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_file_without_the_method_of_both_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "earlier.pt"
    module = torch.jit.script(OneByOne().eval())
    classifier.save(module, ModelSpec(moments=5), path)
    with pytest.raises(SpecMismatch, match=r"earlier\.pt has no method 'predict': export the"):
        classifier.load(path)
    classifier.save(module, ModelSpec(), path)  # without moments it needs none
    assert classifier.load(path).spec.moments == 0


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("rate", [8_000, 22_050])
def test_a_spec_is_read_without_the_network(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "other name.pt"
    spec = ModelSpec(sample_rate=rate, training_data="Lärm")
    classifier.save(torch.jit.script(torch.nn.Linear(2, 2)), spec, path)
    assert weights.read_spec(path) == spec
    for shipped in (weights.DEFAULT_WEIGHTS, weights.VOICE_WEIGHTS):
        assert weights.read_spec(shipped) == classifier.load(shipped).spec


def test_the_shipped_weights_load_and_fit_the_front_end() -> None:
    from model.frontend.rolling_cqt import RollingCQT

    shipped = classifier.load()
    front_end = RollingCQT()
    shipped.spec.check_front_end(front_end)
    assert shipped.spec == ModelSpec(
        moments=5,
        training_data=shipped.spec.training_data,
        weights_sha256=shipped.spec.weights_sha256,
    )
    assert weights.DEFAULT_WEIGHTS.stat().st_size < 2_000_000
    quiet = shipped.decide(shipped.embed(torch.zeros(1, 250, 144)))
    assert float(quiet.max()) < 0.5


@examples(20)
@given(st.integers(1, 17), st.integers(40, 300), st.integers(0, 5), st.integers(0, 4))
def test_neither_batch_nor_block_moves_a_bit_of_a_frame(
    rows: int, columns: int, step: int, row: int
) -> None:
    whole = frames_of_all()
    part = SHIPPED.embed(COLUMNS[row : row + rows, 50 * step : 50 * step + columns])
    assert torch.equal(part, whole[row : row + rows, 5 * step : 5 * step + part.shape[1]])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pooled", "slim", "report2015"])
def test_frames_are_those_of_the_module(name: str) -> None:
    """Rows of steps give the same frames as all columns at once, for any context."""
    network = presets.make(name, 2).eval()
    spec = ModelSpec(
        context_columns=network.context,
        stride_columns=network.stride,
        frame_size=network.frame_size,
        moments=network.moments,
    )
    loaded = classifier.Classifier(network, spec)
    for length in (250, 300, 470):
        columns = torch.rand(2, length, 144) * 8
        with torch.inference_mode():
            expected = network.embed(columns)
        found = loaded.embed(columns)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


@examples(20)
@given(st.integers(1, 40), st.integers(0, 20))
def test_no_batch_moves_a_bit_of_a_decision(rows: int, at: int) -> None:
    windows = frames_of_all().unfold(1, 22, 5).transpose(2, 3).flatten(0, 1)
    some = windows[at : at + rows]
    found, expected = SHIPPED.predict(some), SHIPPED.predict(windows)
    assert found[1].shape == (len(some), 5, 2)
    for mine, of_all in zip(found, expected, strict=True):
        assert torch.equal(mine, of_all[at : at + len(some)])
    assert torch.equal(SHIPPED.decide(some), found[0])


@pytest.mark.process
def test_importing_the_classifier_brings_torch_and_no_training() -> None:
    script = (
        "import sys, model.classifier;"
        "heavy = {'scipy', 'av', 'soxr', 'nnAudio', 'torchaudio'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr


@examples(30)
@given(st.integers(1, 21), st.integers(1, 40), st.integers(0, 17), st.integers(1, 21))
def test_no_batch_and_no_other_length_moves_a_bit_of_a_short_window(
    n: int, rows: int, at: int, other: int
) -> None:
    frames, whole = frames_of_all()[:, :n].repeat(3, 1, 1), frames_of_all()[:, :22]
    expected, of_whole = SHIPPED.decide(frames), SHIPPED.decide(whole)
    SHIPPED.decide(frames_of_all()[:, :other])
    assert torch.equal(SHIPPED.decide(frames[at : at + rows]), expected[at : at + rows])
    assert torch.equal(SHIPPED.decide(whole), of_whole)


@pytest.mark.parametrize("length", [1, 25, 39, 40, 49, 50, 100, 250])
def test_a_short_window_has_the_frames_that_it_has_and_at_least_one(length: int) -> None:
    from model.short import window_frames
    from model.torch_backend import TorchClassifier

    columns = COLUMNS[:3, :length].numpy()
    found = torch.from_numpy(window_frames(TorchClassifier(SHIPPED), columns))
    assert found.shape == (3, max((length - 40) // 10, 0) + 1, SHIPPED.spec.frame_size)
    if length >= 40:
        assert torch.equal(found, frames_of_all()[:3, : found.shape[1]])
    else:  # in the middle of silence
        before = (40 - length) // 2
        alone = torch.zeros(3, 40, 144)
        alone[:, before : before + length] = COLUMNS[:3, :length]
        assert torch.equal(found, SHIPPED.embed(alone))
