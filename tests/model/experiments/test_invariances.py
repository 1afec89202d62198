from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from airsift.errors import ConfigError
from model.corpus.recordings import Recording
from model.experiments import config, invariances, invariances_table
from model.experiments.invariances import Measured
from model.experiments.transformations import Change
from model.experiments.windows import Windows
from tests.command import airsift
from tests.model.experiments.manifest import write_manifest

UP, LOUD = Change("transposition", 4), Change("level", 10)


def windows(groups: int = 40) -> Windows:
    numbers = np.repeat(np.arange(groups), 2)
    rows = [Recording("s", f"{n}.wav", "music", f"group {n}", 0, 80_000, f"d{n}") for n in numbers]
    return Windows(Path(), 80_000, rows, np.zeros(len(rows), np.intp), numbers % 2)


def measured(wrong: tuple[int, int], wrong_up: tuple[int, int], seeds: int = 2) -> Measured:
    """Return probabilities of two rows with so many wrong windows of 80, plain and transposed."""
    test = windows()

    def p(counts: tuple[int, int]) -> np.ndarray:
        rows = []
        for count in counts:
            right = test.classes.astype(float)
            right[:count] = 1 - right[:count]
            rows.append(np.tile(right, (seeds, 1)))
        return np.array(rows)

    return Measured(("CQT", "STFT"), test, p(wrong), {UP: p(wrong_up), LOUD: p(wrong)})


def test_figures_are_those_counted_by_hand() -> None:
    found = measured((8, 16), (16, 40))
    assert invariances_table.accuracy(found, 0).value == pytest.approx(72 / 80)
    assert invariances_table.accuracy(found, 1, UP).value == pytest.approx(40 / 80)
    assert invariances_table.lead(found, []).value == pytest.approx(8 / 80)
    assert invariances_table.lead(found, [UP]).value == pytest.approx(24 / 80)
    assert invariances_table.retained(found, [UP]).value == pytest.approx(24 / 80 - 8 / 80)
    assert invariances_table.retained(found, [UP, LOUD]).value == pytest.approx(8 / 80)
    unchanged = invariances_table.retained(found, [LOUD])
    assert (unchanged.value, unchanged.low, unchanged.high) == (0, 0, 0)


@pytest.mark.parametrize(
    ("wrong", "wrong_up", "verdicts"),
    [
        ((0, 0), (0, 40), ["held", "held"]),
        ((0, 0), (40, 0), ["contradicted", "contradicted"]),
        ((0, 0), (20, 20), ["open", "open"]),
        ((0, 40), (0, 40), ["held", "open"]),  # better before as well: nothing to do with pitch
    ],
)
def test_the_hope_is_decided_by_the_intervals_of_the_differences(wrong, wrong_up, verdicts) -> None:
    parts = invariances_table.compare(measured(wrong, wrong_up))
    assert [part.verdict for part in parts] == verdicts
    assert parts[0].text.startswith("transposed windows, accuracy of CQT above STFT by ")
    assert parts[1].text.startswith("CQT loses less by transposition by ")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_manifest(tmp_path_factory.mktemp("audio"), {"speech": 0, "music": 440})


OWN = """
title = "tones"
question = "Do they hear it?"
tiny = { train = 12, validation = 8, test = 8, epochs = 1, seeds = 1 }
small = { train = 12, validation = 8, test = 8, epochs = 1, seeds = 1 }
full = { train = 12, validation = 8, test = 8, epochs = 1, seeds = 1 }
[finding]
text = "They do."
[windows]
negative = ["speech"]
positive = ["music"]
[training]
batch = 4
[[rows]]
name = "CQT"
feature = "mfcc"
network = "feature"
[[rows]]
name = "STFT"
feature = "chroma"
network = "feature"
"""
CHANGES = """
title = "invariances"
question = "What is lost?"
experiment = "own.toml"
better = "CQT"
than = "STFT"
[finding]
text = "The first is better."
[changes]
transposition = [-2]
[tiny]
transposition = [-4, 4]
level = [-20, 0]
"""


@pytest.mark.slow
def test_the_command_measures_each_change_once(manifest, tmp_path) -> None:
    pytest.importorskip("librosa")
    (tmp_path / "own.toml").write_text(OWN)
    own = tmp_path / "shifts.toml"  # any name
    own.write_text(CHANGES)

    def run() -> tuple[int, str, str]:
        done = airsift("experiment", own, "--scale", "tiny", "--folder", tmp_path, "--data",
                       manifest, "--threads", 1)  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    code, out, err = run()
    assert code == 0, err
    assert "shifts: 4 of 4, level -20 dB" in err
    home = tmp_path / "tiny" / "shifts"
    assert (home / "table.md").read_text() in out + "\n"
    assert (home / "curves.png").read_bytes()[:4] == b"\x89PNG"
    for line in ("| none | ", "| transposition -4 semitones | ", "| level -20 dB | "):
        assert line in out
    assert "The report hopes: The first is better. **Here: " in out
    assert json.loads((home / "table.json").read_text())["verdict"] in out
    # Unchanged windows have the probabilities that the experiment found.
    for number, row in enumerate(("cqt", "stft")):
        found = json.loads((tmp_path / "tiny" / "own" / row / "seed-1" / "result.json").read_text())
        plain = json.loads((home / "changes" / "unchanged.json").read_text())
        np.testing.assert_allclose(plain["p"][number][0], found["p"], atol=1e-6)

    # What is done is not measured again; what is missing is.
    (home / "changes" / "transposition-+4-semitones.json").unlink()
    code, again, err = run()
    assert (code, again) == (0, out)
    assert [line for line in err.splitlines() if line.startswith("shifts")] == [
        "shifts: 3 of 4, transposition +4 semitones"
    ]
    (tmp_path / "tiny" / "own" / "cqt" / "seed-1" / "best.pt").unlink()
    code, _, err = run()
    assert code == 1
    assert "best.pt is gone: remove result.json and state.pt beside it" in err


def test_the_projects_file_names_two_rows_of_experiment_5() -> None:
    for scale in config.SCALES:
        found = invariances.load(config.find("invariances"), scale)
        assert [row.name for row in found.experiment.rows] == ["CQT", "STFT"]
        assert found.experiment.name == "5-features"
        assert {change.kind for change in found.changes} == set(invariances.KINDS)
    amounts = {c.amount for c in found.changes if c.kind == "transposition"}
    assert amounts == set(range(-6, 7)) - {0}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('better = "CQT"', 'better = "MFCC"', "'MFCC' is no row of own: use one of CQT, STFT"),
        ("level = [-20, 0]", "volume = [1]", "tiny.volume is unknown"),
        ("level = [-20, 0]", "level = [-90]", "level=-90 must be from -60 to 40 dB"),
        ('experiment = "own.toml"', 'experiment = "77"', "experiment='77' is unknown"),
        ("[tiny]\ntransposition = [-4, 4]", "[tiny]\ntransposition = []", "tiny.transposition"),
    ],
)
def test_a_wrong_file_is_one_line(old, new, message, tmp_path) -> None:
    (tmp_path / "own.toml").write_text(OWN)
    path = tmp_path / "invariances.toml"
    assert old in CHANGES
    path.write_text(CHANGES.replace(old, new))
    with pytest.raises(ConfigError) as error:
        invariances.load(path, "tiny")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_baseline_is_no_network_to_compare(tmp_path) -> None:
    own = OWN.replace('feature = "mfcc"\nnetwork = "feature"', 'feature = "mfcc"\nbaseline = "svm"')
    (tmp_path / "own.toml").write_text(own)
    path = tmp_path / "invariances.toml"
    path.write_text(CHANGES)
    with pytest.raises(ConfigError, match="the row 'CQT' is no network"):
        invariances.load(path, "tiny")
