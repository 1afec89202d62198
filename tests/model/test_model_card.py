from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from airsift.errors import ConfigError
from model.evaluation import kinds, metrics, model_card, requirements, tables
from model.evaluation.conditions import DEGRADATIONS, MUSIC_LEVELS_DB
from model.evaluation.plot import draw
from model.evaluation.predict import ConditionPredictions

TRUTHS = {
    "speech": (1, 0),
    "music": (0, 1),
    "noise": (0, 0),
    "silence and hiss": (0, 0),
    **{f"music at {level:+d} dB and speech": (1, 1) for level in MUSIC_LEVELS_DB},
    **{f"speech, {name}": (1, 0) for name in DEGRADATIONS},
    **{f"music, {name}": (0, 1) for name in DEGRADATIONS},
}


@pytest.fixture(scope="module")
def predictions() -> dict[str, ConditionPredictions]:
    random = np.random.default_rng(0)
    made = {}
    for name, truth in TRUTHS.items():
        kind = "speech" if "speech" in name else name.split(",")[0]
        groups = np.array([f"{kind}-pack:{n % 4}" for n in range(16)])
        noise = random.uniform(-0.6, 0.6, (16, 2))
        sources = np.array([f"{kind}-pack"] * 12 + [f"{kind}-repository"] * 4)
        made[name] = ConditionPredictions(
            name, truth, np.clip(np.array(truth) + noise, 0, 1), groups, sources,
            np.array(["game music"] * 16),
        )  # fmt: skip
    return made


@pytest.fixture
def place(tmp_path: Path) -> model_card.ModelCard:
    file = tmp_path / "card.md"
    file.write_text(f"# Card\n{model_card.BEGIN}\nold\n{model_card.END}\nend\n")
    return model_card.ModelCard(file)


def test_the_tables_go_between_the_markers(place: model_card.ModelCard) -> None:
    place.write("new", "sources", b"<svg/>")
    place.write("newer", "sources 2", b"<svg/>")
    text = place.path.read_text()
    assert text.startswith(f"# Card\n{model_card.BEGIN}\nnewer\n")
    assert text.endswith(f"{model_card.END}\nend\n")
    assert "(figures/card.svg)" in text
    assert place.sources.read_text() == "sources 2"
    assert place.plot.read_bytes() == b"<svg/>"


def test_a_card_without_markers_is_refused_at_once(tmp_path: Path) -> None:
    bare = tmp_path / "bare.md"
    bare.write_text("nothing")
    with pytest.raises(ConfigError, match="must have the lines"):
        model_card.ModelCard(bare).check()
    with pytest.raises(ConfigError, match="cannot be read"):
        model_card.ModelCard(tmp_path / "none.md").check()


@pytest.mark.parametrize("full_at", ["card.md", "card_sources.md", "card.svg"])
def test_a_full_disk_leaves_no_half_written_file(
    place: model_card.ModelCard, full_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = place.path.read_bytes()
    write = Path.write_bytes

    def until_full(path: Path, data: bytes) -> int:
        if path.name.startswith(full_at):
            write(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", until_full)
    with pytest.raises(ConfigError, match=f"{full_at} cannot be written .No space"):
        place.write("new", "sources", b"<svg/>")
    assert place.path.read_bytes() == old
    assert not list(place.path.parent.rglob("*.partial"))


@pytest.mark.slow
def test_every_condition_and_source_is_in_the_tables(
    predictions: dict[str, ConditionPredictions],
) -> None:
    programme = {"segment-based macro F, 1 s": metrics.Estimate(0.5, 0.4, 0.6, 2, 2)}
    required = requirements.check_requirements(predictions, programme, None, 0.001, 1000)
    text = tables.evaluation_block(required, predictions, programme, "test")
    for name in predictions:
        assert f"| {name} | " in text
    for name in DEGRADATIONS:
        assert f"| {name} | " in text
    assert "| segment-based macro F, 1 s | 50.0% (40.0% to 60.0%) |" in text
    for name in ("speech", "music", "noise"):
        assert f"| {name} | {name}-pack | " in text
        assert f"| {name} | {name}-repository | " in text
    # The second sources are too small to count in the mean, and for the worst.
    assert "-repository: " not in text
    absent = [line.name for line in kinds.LINES if line.name not in ("game music", "other speech")]
    for name in absent:
        if name != "other noise rejected":
            assert f"| {name} | not measured: no source of this kind |" in text
    assert "| babies rejected | 85 % or more | not measured: no source of this kind |  |  |" in text
    page = tables.sources_page(predictions, "test")
    assert "| speech | speech-pack | game music | " in page
    assert "| speech-pack:" in page


@pytest.mark.long
def test_the_plot_is_deterministic(
    predictions: dict[str, ConditionPredictions],
) -> None:
    first, second = draw(predictions, "a model"), draw(predictions, "a model")
    assert first == second
    assert first.startswith(b"<?xml")
    assert b"two semitones up" in first
    assert b"noise: noise-pack" in first
