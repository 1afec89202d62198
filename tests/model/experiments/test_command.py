from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from model.corpus import cache
from model.experiments import config, kinds, windows
from model.experiments.report.page import linked
from tests.command import airsift
from tests.model.experiments.manifest import write_manifest

OWN = """
title = "loud tones"
question = "Does a network hear a tone?"
tiny = { train = 24, validation = 12, test = 12, epochs = 6, seeds = 2 }
small = { train = 24, validation = 12, test = 12, epochs = 3, seeds = 1 }
full = { train = 24, validation = 12, test = 12, epochs = 3, seeds = 1 }
[finding]
text = "It does."
f_at_least = { network = 80.0 }
[windows]
negative = ["speech"]
positive = ["music"]
[training]
batch = 4
[[rows]]
name = "network"
feature = "mfcc"
network = "feature"
[[rows]]
name = "random forest"
feature = "mfcc"
baseline = "random-forest"
"""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_manifest(tmp_path_factory.mktemp("audio"))


def run(name: object, folder: Path, *more: object) -> tuple[int, str, str]:
    done = airsift("experiment", name, "--scale", "tiny", "--folder", folder, "--threads", 1, *more)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_an_experiment_of_ones_own_on_own_audio(manifest, tmp_path) -> None:
    pytest.importorskip("sklearn")
    own = tmp_path / "own.toml"
    own.write_text(OWN)
    code, out, err = run(own, tmp_path, "--data", manifest, "--tensorboard")
    assert code == 0, err
    assert "own, row 1 of 2, network, seed 2 of 2: epoch 6 of 6: train cost" in err
    home = tmp_path / "tiny" / "own"
    assert (home / "table.md").read_text() in out + "\n"
    table = json.loads((home / "table.json").read_text())
    assert table["rows"][0]["f"][0] > 0.8
    assert table["verdict"] == "held"
    seed = home / "network" / "seed-1"
    there = {path.name for path in seed.iterdir()}
    assert there >= {"initial.pt", "best.pt", "last.pt", "training_curves.png", "result.json"}
    assert list((seed / "tensorboard").glob("events.*"))

    # Done: nothing is trained again.
    before = (seed / "state.pt").stat().st_mtime_ns
    code, again, err = run(own, tmp_path, "--data", manifest)
    assert (code, again) == (0, out)
    assert "epoch" not in err
    assert (seed / "state.pt").stat().st_mtime_ns == before

    # A result that was lost is trained again, and is the same.
    (home / "network" / "seed-2" / "result.json").unlink()
    (home / "network" / "seed-2" / "state.pt").unlink()
    code, _, err = run(own, tmp_path, "--data", manifest)
    assert "seed 2 of 2: epoch 1" in err
    assert "seed 1 of 2" not in err
    assert json.loads((home / "table.json").read_text())["rows"][0]["f"] == table["rows"][0]["f"]

    # Other settings are not mixed with what is there.
    own.write_text(OWN.replace("epochs = 6", "epochs = 7"))
    code, _, err = run(own, tmp_path, "--data", manifest)
    assert code == 1
    assert "holds a training of other windows, layers or settings: name another --folder" in err


@pytest.mark.slow
def test_a_row_that_two_tables_share_is_trained_once(manifest, tmp_path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(OWN.replace('baseline = "random-forest"', 'network = "feature"'))
    code, _, err = run(own, tmp_path, "--data", manifest)
    assert code == 0, err
    assert "row 1 of 2" in err
    assert "row 2 of 2" not in err
    (first, second) = json.loads((tmp_path / "tiny" / "own" / "table.json").read_text())["rows"]
    assert first["f"] == second["f"]


def begin(names: Sequence[object], *more: object) -> list[subprocess.Popen[str]]:
    """Start experiments at the tiny scale, each in a process."""
    command = [sys.executable, "-m", "airsift", "experiment"]
    options = ["--scale", "tiny", "--threads", "1", *more]
    return [
        subprocess.Popen(
            [*map(str, (*command, name, *options))],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for name in names
    ]  # fmt: skip


def wait_for(line: str, process: subprocess.Popen[str]) -> None:
    """Read what a process says until a line ends so."""
    assert process.stderr is not None
    seen = [""]
    while not seen[-1].rstrip("\n").endswith(line):
        seen.append(process.stderr.readline())
        assert seen[-1], seen


def end_well(processes: Sequence[subprocess.Popen[str]]) -> str:
    """Wait for processes; return what the last one said."""
    for each in processes:
        _, err = each.communicate(timeout=120)
        assert each.returncode == 0, err
    return err


@pytest.mark.slow
@pytest.mark.process
def test_two_experiments_at_once_share_their_features(manifest, tmp_path) -> None:
    """What one computes, the other waits for and takes."""
    corpus = tmp_path / "corpus"
    windows.decode_manifest(manifest, corpus, lambda line: None)
    files = [tmp_path / "one.toml", tmp_path / "two.toml"]
    for file in files:
        file.write_text(OWN.replace("seeds = 2", "seeds = 1"))
    # As if a third one computed: both have to wait.
    with cache.building(tmp_path / "tiny" / "features", lambda line: None):
        both = begin(files, "--folder", tmp_path, "--corpus", corpus)
        for each in both:
            wait_for("features: waiting for it", each)
    end_well(both)
    assert len(list((tmp_path / "tiny" / "features").glob("mfcc-*.json"))) == 1


@pytest.mark.slow
@pytest.mark.process
def test_two_experiments_at_once_on_one_manifest_share_its_audio(manifest, tmp_path) -> None:
    """One decodes it, and the other waits."""
    corpus = tmp_path / "audio" / manifest.stem
    files = [tmp_path / "one.toml", tmp_path / "two.toml"]
    for file in files:
        file.write_text(OWN.replace("seeds = 2", "seeds = 1"))
    with cache.building(corpus, lambda line: None):
        both = begin(files, "--folder", tmp_path, "--data", manifest)
        for each in both:
            wait_for(f"building {corpus}: waiting for it", each)
    end_well(both)


@pytest.mark.slow
@pytest.mark.process
def test_the_same_experiment_twice_at_once_is_trained_once(manifest, tmp_path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(OWN.replace("seeds = 2", "seeds = 1"))
    seed = tmp_path / "tiny" / "own" / "network" / "seed-1"
    with cache.building(seed, lambda line: None):
        both = begin([own, own], "--folder", tmp_path, "--data", manifest)
        for each in both:
            wait_for(f"building {seed}: waiting for it", each)
    said = "".join(each.communicate(timeout=120)[1] for each in both)
    assert [each.returncode for each in both] == [0, 0], said
    assert said.count("epoch 1 of 6") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("11",),
            "experiment='11' is unknown: use all, report, the path of a TOML file, or one of 1",
        ),
        (("1", "--scale", "huge"), "scale='huge' is unknown: use one of tiny, small, full"),
        (("3", "--device", "tpu"), "device='tpu' is unknown: use cpu or cuda"),
        (("6",), "holds no audio: run `airsift corpus build` first"),
        (("6", "--data", "none.csv"), "none.csv cannot be read"),
        (("6", "--docs", "docs"), "--docs docs is for the page of `all` and `report`, not for 6"),
        (("report",), "experiments/small has no results: run `airsift experiment all --scale"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = airsift("experiment", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("airsift: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.long
def test_all_experiments_at_the_tiny_scale(manifest, tmp_path) -> None:
    pytest.importorskip("librosa")
    pytest.importorskip("sklearn")
    began = time.process_time()
    code, _, err = run("all", tmp_path, "--data", manifest, "--docs", tmp_path / "docs")
    assert code == 0, err
    assert time.process_time() - began < 180  # on one core
    page = (tmp_path / "docs" / "report2015.md").read_text()
    assert page == (tmp_path / "tiny" / "report2015.md").read_text()
    for name in config.names():
        study = kinds.read(config.find(name), "tiny")
        has_teacher = study.trained.has_teacher
        assert (f"{name} is left out: its teacher is not part of airsift" in err) == has_teacher
        assert (f"## Experiment {name}: " in page) != has_teacher
        assert (f"![{study.title}](report2015/{name}.png)" in page) != has_teacher
        if has_teacher:
            continue
        for row in study.trained.rows:
            assert f"| {row.name} | " in page or f" {row.name} |" in page
    for name in ("6-l1", "8-penalties"):
        assert f"](report2015/{name}-filters.png)" in page
    files = {path.name: path for path in (tmp_path / "docs" / "report2015").iterdir()}
    assert set(files) == linked(page)
    sizes = {
        suffix: sum(path.stat().st_size for path in files.values() if path.suffix == suffix)
        for suffix in (".png", ".opus")
    }
    # It can be committed.
    assert sizes[".png"] < 1_500_000
    assert 0 < sizes[".opus"] < 300_000
    assert len([name for name in files if "-map-" in name]) == 3


@pytest.mark.slow
def test_all_goes_on_after_an_experiment_that_lacks_audio(tmp_path, monkeypatch) -> None:
    short = write_manifest(tmp_path, {"speech": 0, "music": 440})  # no voices
    monkeypatch.setattr(config, "names", lambda: ["1-voice", "3-classifiers"])
    code, _, err = run("all", tmp_path, "--data", short)
    assert code == 1
    assert "experiment 1-voice: there are 0 of" in err
    assert "1 of 2 experiments could not be run (1-voice): see the lines above" in err
    page = (tmp_path / "tiny" / "report2015.md").read_text()
    assert "## Experiment 3-classifiers" in page
    assert "| 1-voice: a female or a male voice | The error is 1 %. | not run |" in page
    assert "neither figures nor findings mean anything" in page
