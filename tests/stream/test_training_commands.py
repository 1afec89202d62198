from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from airsift.cli import corpus, evaluate, train
from airsift.errors import ConfigError
from model.corpus import feature_store
from model.corpus import sources as recipe

RATE = 16_000
app = typer.Typer()
app.add_typer(corpus.app, name="corpus")
app.command()(train.train)
app.command()(train.export)
app.command()(evaluate.evaluate)


def run(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 12 s of each class for each split: groups whose hash decides where they are."""
    place = tmp_path_factory.mktemp("my recordings")
    random = np.random.default_rng(0)
    rows = ["path,class,group"]
    for kind in ("speech", "music", "noise"):
        for split in recipe.SPLITS:
            group = next(
                name
                for name in (f"{kind}-{number}" for number in range(200))
                if recipe.split_of(name, {}) == split
            )
            samples = 0.05 * random.standard_normal(RATE * 12)
            if kind == "music":
                samples += 0.3 * np.sin(2 * np.pi * 300 * np.arange(len(samples)) / RATE)
            with wave.open(str(place / f"{group}.wav"), "wb") as out:
                out.setparams((1, 2, RATE, 0, "NONE", ""))
                out.writeframes((samples * 32767).astype("<i2").tobytes())
            rows.append(f"{group}.wav,{kind},{group}")
    (place / "mine.csv").write_text("\n".join(rows))
    return place


@pytest.mark.long
@pytest.mark.process
def test_from_a_manifest_to_a_measured_model(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for made in ("NOISE_TAKES", "EVENT_TAKES", "CONVERSATION_TAKES", "CROWD_TAKES"):
        monkeypatch.setattr(feature_store, made, 1)
    cache, state, file = tmp_path / "corpus", tmp_path / "run", tmp_path / "mine.pt"
    run("corpus", "build", cache, "--manifest", recordings / "mine.csv", "--workers", 1)
    counted = run("corpus", "stats", cache).split("\n")
    assert [line.split()[:3] for line in counted if line.startswith("train")] == [
        ["train", "speech", "1"],
        ["train", "music", "1"],
        ["train", "singing", "0"],
        ["train", "noise", "1"],
    ]
    run("train", cache, state, "--steps", 2, "--threads", 1)
    run("export", state, file)
    card = tmp_path / "card.md"
    card.write_text("<!-- measured: begin -->\n<!-- measured: end -->\n")
    printed = run("evaluate", cache, "--model", file, "--card", card, "--max-windows", 2)
    assert "| macro F of the two outputs at 0.5 |" in printed
    assert "| music at -20 dB and speech |" in card.read_text()
    assert (state / "training_curves.png").read_bytes().startswith(b"\x89PNG")


def test_missing_inputs_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="airsift corpus fetch"):
        run("corpus", "build", tmp_path)
    with pytest.raises(ConfigError, match="airsift corpus build"):
        run("train", tmp_path, tmp_path / "run")
    with pytest.raises(ConfigError, match="airsift train"):
        run("export", tmp_path, tmp_path / "model.pt")
    with pytest.raises(ConfigError, match="test or validation"):
        run("evaluate", tmp_path, "--split", "train")
