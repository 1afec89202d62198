from __future__ import annotations

from pathlib import Path

import pytest

from airsift.errors import ConfigError
from model.corpus import takes
from tests.stream.training import run, write_recordings


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("my recordings")
    write_recordings(place, ("speech", "music", "noise"), tones=["music"])
    return place


@pytest.mark.long
@pytest.mark.process
def test_from_a_manifest_to_a_measured_model(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for made in (
        "NOISE_TAKES",
        "EVENT_TAKES",
        "BEAT_TAKES",
        "CONVERSATION_TAKES",
        "CROWD_TAKES",
        "SCENE_TAKES",
    ):
        monkeypatch.setattr(takes, made, 1)
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
    assert "| macro F of speech, music and singing, mean over sources |" in printed
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
    for text in ("0.5", "0.5,1.5", "a,b", "0.5,nan"):
        with pytest.raises(ConfigError, match="two probabilities"):
            run("evaluate", tmp_path, "--thresholds", text)
