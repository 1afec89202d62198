from __future__ import annotations

import wave
from pathlib import Path

import pytest

from model.experiments import windows
from model.experiments.optional import import_module
from stream.testing import music_like, write_wav
from tests.command import airsift
from tests.model.experiments.manifest import write_manifest
from tests.model.explain.networks import write_rows

THREADS = ("--threads", 1)


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> list[Path]:
    return write_rows(tmp_path_factory.mktemp("rows"), "8")


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """Return the state of a network on the CQT that is quick to run."""
    return write_rows(tmp_path_factory.mktemp("small"), "5", "cqt")[0]


@pytest.fixture(scope="module")
def audio(tmp_path_factory) -> Path:
    return write_wav(tmp_path_factory.mktemp("audio") / "<b>song & co.wav", music_like(7.0))


@pytest.mark.slow
def test_a_network_and_a_window(small, audio, tmp_path) -> None:
    for package in ("captum", "matplotlib"):
        pytest.importorskip(package)
    stale = tmp_path / "dense-1-map-7.wav"
    stale.touch()
    done = airsift(
        "explain", small, audio, "--output", tmp_path, "--layer", "convolution 2", "--layer",
        "dense 1", "--maps", 1, "--start", 1.5, *THREADS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "convolution 2: 1 of 20 maps" in done.stderr
    assert not stale.exists()
    sounds = sorted(path.name for path in tmp_path.glob("*.wav"))
    assert sounds[-2:] == ["window-resynthesis.wav", "window.wav"]
    layers = [name.partition("-map-")[0] for name in sounds[:-2]]
    assert layers == ["convolution-2", "dense-1"]
    for name in sounds:
        with wave.open(str(tmp_path / name)) as read:
            assert read.getparams()[:4] == (1, 2, 16_000, 80_000)
    assert (tmp_path / "filters.png").is_file()
    page = (tmp_path / "explanation.html").read_text()
    assert "&lt;b&gt;song &amp; co.wav, from 1.5 s" in page
    assert "<b>" not in page


@pytest.mark.slow
def test_the_folder_of_an_experiment_and_a_corpus(rows, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    manifest = write_manifest(tmp_path, {"speech": 0, "music": 440}, seconds=6)
    windows.decode_manifest(manifest, tmp_path / "corpus", lambda line: None)
    output = tmp_path / "out"
    done = airsift(
        "explain", rows[0].parents[2], "--corpus", tmp_path / "corpus", "--windows", 20, "--layer",
        "convolution 1", "--map", 3, "--output", output, *THREADS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "20 of 20 windows of the corpus analysed" in done.stderr
    page = (output / "explanation.html").read_text()
    for name in ("without", "L1", "L2", "elastic net", "L1/L2", "L21", "L12"):
        assert f"8-penalties, {name}: " in page
    assert '"activationLayer":"convolution 1","activation":[{"map":3,"windows":[{' in page


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--layer", "convolution 9"), "layer='convolution 9' is unknown: use one of convolution"),
        (("--layer", "output", "--map", 2), "map=2 of output is unknown: it has 2, from 0 to 1"),
        (("--layer", "output", "--map", -1), "map=-1 of output is unknown"),
        (("--map", 0), "--map 0 is a map of one layer: name it with --layer"),
        (("--start", 3), "has 4.00 s from 3 s on, and a window of this network is 5 s"),
        (("--start", 100), "has 0.00 s from 100 s on"),
        (("--device", "tpu"), "device='tpu' is unknown: use cpu or cuda"),
        (("--experiment", "gone.toml"), "gone.toml cannot be read"),
        (("--corpus", "gone"), "gone holds no audio: run `airsift corpus build` first"),
    ],
)
def test_bad_input_is_one_line(more, message, rows, audio, tmp_path) -> None:
    done = airsift("explain", rows[0], audio, "--output", tmp_path / "out", *THREADS, *more)
    assert done.returncode == 1
    assert done.stderr.startswith("airsift: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out" / "explanation.html").exists()


def test_audio_that_is_none_is_one_line(rows, tmp_path) -> None:
    note = tmp_path / "note.wav"
    note.write_text("no audio")
    for path, message in ((note, "note.wav"), (tmp_path / "gone.wav", "gone.wav cannot be read")):
        done = airsift("explain", rows[0], path, "--output", tmp_path / "out", *THREADS)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_extra_is_named_before_any_work(rows, audio, tmp_path, monkeypatch) -> None:
    def without_captum(name: str) -> object:
        if name.startswith("captum"):
            raise ImportError(name)
        return import_module(name)

    monkeypatch.setattr("model.experiments.optional.import_module", without_captum)
    done = airsift("explain", rows[0], audio, "--output", tmp_path / "out", *THREADS)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "needs captum.attr: `pip install 'airsift[experiments]'` brings it" in done.stderr
    assert not (tmp_path / "out").exists()
