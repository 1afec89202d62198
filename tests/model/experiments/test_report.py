from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from airsift.errors import ConfigError
from model.experiments import config, kinds, runner, windows
from model.experiments.report import inside, page
from model.experiments.runner import Place
from tests.model.experiments.manifest import write_manifest
from tests.model.explain.networks import write_rows

ROOT = Path(__file__).parents[3]
PIECE = inside.Piece(
    ROOT / "stream" / "demo" / "audio" / "palace.opus", "palace.opus", "*Palace*", 3.0
)
NAMES = ("3-classifiers", "5-features", "10-separation", "invariances")


def write(place: Place, names: tuple[str, ...] = NAMES) -> tuple[str, list[str]]:
    """Write the page; return it and the lines that were reported."""
    said: list[str] = []
    studies = [kinds.read(config.find(name), place.scale) for name in names]
    return page.write(studies, place, PIECE, said.append).read_text(), said


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Place:
    """Return the results of an experiment without networks, and one row of another."""
    pytest.importorskip("librosa")
    pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp("results")
    manifest = write_manifest(folder, {"speech": 0, "music": 440})
    windows.decode_manifest(manifest, folder / "corpus", lambda line: None)
    place = Place(folder / "corpus", folder / "tiny", "tiny")
    study = kinds.read(config.find("3"), "tiny")
    kinds.write(study, study.run(place, lambda line: None), place, lambda line: None)
    five = kinds.read(config.find("5"), "tiny").trained
    some = tuple(row for row in five.rows if row.name in ("CQT", "chroma"))
    runner.run(replace(five, rows=some), place, lambda line: None)
    return place


@pytest.mark.slow
def test_a_page_is_made_of_what_is_there(done: Place) -> None:
    text, said = write(done)
    assert "Not done, or in part: 5-features, 10-separation, invariances." in text
    assert "| open; in part: 6 of 12 trainings |" in text  # with the one that experiment 3 trained
    assert "(not trained: MFCC): open." in text
    assert "This experiment is not finished: open; in part: 6 of 12 trainings." in text
    assert "10-separation: not run" in said
    assert "## Experiment 10-separation" not in text
    for name in ("3-classifiers", "5-features"):
        assert f"](report2015/{name}.png)" in text
        assert f"`airsift experiment {name} --scale tiny`" in text
    assert "curves.png" not in text
    assert "5-features, CQT: " in text  # what is listened to
    files = {path.name for path in (done.folder / "report2015").iterdir()}
    assert files == page.linked(text)
    assert len([name for name in files if name.endswith(".opus")]) == 5
    assert write(done)[0] == text


@pytest.mark.slow
def test_a_copy_has_what_it_links_and_nothing_of_an_older_one(done: Place, tmp_path) -> None:
    text, _ = write(done)
    old = tmp_path / "report2015" / "old.png"
    own = tmp_path / "report2015" / "note.txt"
    old.parent.mkdir()
    old.touch()
    own.touch()
    copy = page.copy(done.folder / "report2015.md", tmp_path)
    assert copy.read_text() == text
    assert not old.exists()
    assert own.exists()
    for name in page.linked(text):
        assert (copy.parent / "report2015" / name).read_bytes() == (
            done.folder / "report2015" / name
        ).read_bytes()
    # The anchors of the summary are headings.
    for anchor in [part.partition(")")[0] for part in text.split("](#")[1:]]:
        assert anchor in {
            "".join(c for c in line.lower() if c.isalnum() or c in "-_ ").strip().replace(" ", "-")
            for line in text.splitlines()
            if line.startswith("## ")
        }


@pytest.mark.slow
def test_a_page_needs_no_recordings_for_what_is_complete(done: Place, tmp_path) -> None:
    shutil.copytree(done.folder, tmp_path / "tiny")
    text, said = write(Place(tmp_path / "gone", tmp_path / "tiny", "tiny"))
    assert "## Experiment 3-classifiers" in text
    assert "## Experiment 5-features" not in text
    assert any("5-features: what is done of it cannot be shown: " in line for line in said)


def test_nothing_to_write_about_is_one_line(tmp_path) -> None:
    place = Place(tmp_path / "corpus", tmp_path / "tiny", "tiny")
    with pytest.raises(ConfigError, match="has no results: run `airsift experiment all --scale"):
        write(place)
    assert not (tmp_path / "tiny").exists()


@pytest.mark.slow
def test_a_sheet_has_the_filters_of_all_rows_and_those_of_equal_rows_elsewhere(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    write_rows(tmp_path / "small", "4", "cqt")  # the CQT of experiment 10 is among them
    study = kinds.read(config.find("10"), "small")
    place = Place(tmp_path, tmp_path / "small", "small")
    assert inside.draw_filters(study, place, tmp_path / "sheet.png")
    row = study.trained.rows[0]
    home = runner.training_folder(study.trained, row, 1, place.folder, "small")
    assert home == tmp_path / "small" / "4-depth" / "cqt-3-convolutions" / "seed-1"
    assert runner.training_folder(study.trained, row, 2, place.folder, "small") is None
    # At the other scale the rows are not equal.
    shutil.copytree(tmp_path / "small", tmp_path / "tiny")
    other = Place(tmp_path, tmp_path / "tiny", "tiny")
    assert not inside.draw_filters(study, other, tmp_path / "none.png")


def test_the_network_with_the_highest_f_is_chosen(tmp_path) -> None:
    write_rows(tmp_path / "small", "8")
    study = kinds.read(config.find("8"), "small")
    rows = [{"name": row.name, "f": [0.9, 0.8, 1.0]} for row in study.trained.rows]
    place = Place(tmp_path, tmp_path / "small", "small")
    first = inside.choose([(study, {"rows": rows})], place)
    assert first is not None
    assert first.row.name == "without"  # of equal ones the first
    rows[5]["f"] = [0.95, 0.9, 1.0]
    best = inside.choose([(study, json.loads(json.dumps({"rows": rows})))], place)
    assert best is not None
    assert (best.row.name, best.f) == ("L12", 0.95)
    assert best.state.parent.parent.name == "l12"
    assert inside.choose([], place) is None
