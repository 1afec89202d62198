"""A network of a user's own labels: from a manifest and a TOML file to model files."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from airsift.errors import ConfigError
from model import classifier, networks, progress, recipe
from model.trusted import sha256_of
from stream.cli import classify, train

pytestmark = pytest.mark.long

RATE = 16_000
TASK = """
data = "Tones and noise."
labels = ["advert"]
manifest = "mine.csv"

[classes]
advert = ["advert"]
programme = []

[train]
steps = 2
batch = 4
validate_every = 1
network = "slim"
"""
app = typer.Typer()
app.command()(train.train)
app.command()(train.export)
app.command()(classify.classify)


def run(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 12 s of both classes for each split, a manifest and a task."""
    place = tmp_path_factory.mktemp("my own")
    random = np.random.default_rng(0)
    rows = ["path,class,group"]
    for kind in ("advert", "programme"):
        for split in recipe.SPLITS:
            names = (f"{kind}-{number}" for number in range(200))
            group = next(name for name in names if recipe.split_of(name, {}) == split)
            samples = 0.05 * random.standard_normal(RATE * 12)
            if kind == "advert":
                samples += 0.3 * np.sin(2 * np.pi * 300 * np.arange(len(samples)) / RATE)
            with wave.open(str(place / f"{group}.wav"), "wb") as out:
                out.setparams((1, 2, RATE, 0, "NONE", ""))
                out.writeframes((samples * 32767).astype("<i2").tobytes())
            rows.append(f"{group}.wav,{kind},{group}")
    (place / "mine.csv").write_text("\n".join(rows))
    (place / "task.toml").write_text(TASK)
    return place


@pytest.fixture(scope="module")
def trained(mine: Path) -> Path:
    words = ("--config", mine / "task.toml", "--threads", 1, "--tensorboard")
    printed = run("train", mine / "corpus", mine / "run", *words)
    assert "step 2: train cost" in printed
    return mine / "run"


def test_a_training_leaves_its_states_and_its_sheet(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert names >= {"initial.pt", "best.pt", "last.pt", "network.pt", "sheet.csv", "sheet.png"}
    assert list((trained / "tensorboard").glob("events.out.tfevents.*"))
    facts = progress.load(trained / "network.pt")
    assert (facts["network"], facts["labels"]) == ("slim", ["advert"])


@pytest.fixture(scope="module")
def exported(trained: Path) -> Path:
    printed = run("export", trained, trained / "out" / "adverts.pt", "--no-onnx")
    assert sorted(path.name for path in (trained / "out").iterdir()) == ["adverts.md", "adverts.pt"]
    assert "weights" in printed
    return trained / "out"


def test_what_is_exported_is_of_these_labels(trained: Path, exported: Path) -> None:
    loaded = classifier.load(exported / "adverts.pt")
    assert loaded.spec.labels == ("advert",)
    assert loaded.spec.training_data == "Tones and noise."
    network = networks.make("slim", 1)
    network.load_state_dict(progress.load(trained / "network.pt")["weights"])
    window = torch.rand(250, 144) * 10
    with torch.inference_mode():
        wanted = torch.sigmoid(network.eval()(window[None]))[0]
    judged = loaded.decide(loaded.embed(window[None]))[0]
    torch.testing.assert_close(judged, wanted, atol=1e-4, rtol=0)
    card = (exported / "adverts.md").read_text()
    assert "| labels | advert: independent" in card
    assert "Tones and noise." in card


def test_a_model_card_is_never_written_over(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "adverts.md").write_text("mine")
    run("export", trained, tmp_path / "adverts.pt", "--no-onnx")
    assert (tmp_path / "adverts.md").read_text() == "mine"
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".md", ".pt"]


def test_a_network_of_other_labels_does_not_run_the_pipeline(exported: Path) -> None:
    from airsift.errors import SpecMismatch
    from stream import config
    from stream.build import build_pipeline

    file = exported / "adverts.pt"
    for path, sha256 in (("path", "sha256"), ("voice_path", "voice_sha256")):
        sets = [f"model.{path}='{file}'", f"model.{sha256}={sha256_of(file)}"]
        chosen = config.load(sets=sets, environ={}).config
        with pytest.raises(SpecMismatch, match=f"model.{path} names a model of advert, not of"):
            build_pipeline(chosen)


def test_windows_are_judged_by_these_labels(exported: Path, mine: Path) -> None:
    heard, file = next(mine.glob("advert-*.wav")), exported / "adverts.pt"
    sets = ["--set", f"model.path='{file}'", "--set", f"model.sha256={sha256_of(file)}"]
    lines = run("classify", heard, *sets).splitlines()
    assert lines[0] == "file,start_s,end_s,p_advert"
    assert [line.split(",")[1:3] for line in lines[1:]] == [["0.0", "5.0"], ["5.0", "10.0"]]


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("mine.csv", "path,class,group", "file,class,group", "has no column path"),
        ("mine.csv", ",advert,", ",advrt,", "class='advrt' is unknown: use one of advert"),
        ("task.toml", "programme = []", "programme = []\njingle = []", "no recordings of jingle"),
    ],
)
def test_a_mistake_is_found_before_training(
    mine: Path, tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    for path in mine.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message) as caught:
        run("train", tmp_path / "corpus", tmp_path / "run", "--config", tmp_path / "task.toml")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "state.pt").exists()


def test_a_class_of_the_corpus_that_the_task_does_not_know(trained: Path, tmp_path: Path) -> None:
    """What is decoded already may come from another task: nothing is left out in silence."""
    text = TASK.replace('manifest = "mine.csv"', "").replace("programme = []", "")
    (tmp_path / "task.toml").write_text(text)
    words = ("train", trained.parent / "corpus", tmp_path, "--config", tmp_path / "task.toml")
    with pytest.raises(ConfigError, match="of class 'programme', which is none of the task's"):
        run(*words)


def test_settings_of_the_command_line_are_checked_too(mine: Path, tmp_path: Path) -> None:
    words = ("train", mine / "corpus", tmp_path, "--config", mine / "task.toml", "--set")
    with pytest.raises(ConfigError, match=r"train\.network='vgg' is unknown"):
        run(*words, "network=vgg")
    with pytest.raises(ConfigError, match="must be name=value"):
        run(*words, "network")
