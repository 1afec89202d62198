"""A network of a user's own labels: from a manifest and a TOML file to model files."""

from __future__ import annotations

import hashlib
import os
import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch

from airsift import config
from airsift.build import build_pipeline
from airsift.errors import ConfigError, SpecMismatch
from model import classifier
from model.corpus import cache, splits
from model.networks import presets
from model.training import states
from model.weights import sha256_of
from stream.audio import AudioChunk
from stream.events import Labelled
from stream.sources.file import read_file
from tests.model.stores import limit_synthetic_takes
from tests.stream.training import run, write_recordings

pytestmark = pytest.mark.long

RATE = 16_000
ROOT = Path(__file__).parents[2]
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


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("my own")
    write_recordings(place, ("advert", "programme"), tones=["advert"])
    (place / "task.toml").write_text(TASK)
    return place


@pytest.fixture(scope="module")
def trained(mine: Path) -> Path:
    words = ("--config", mine / "task.toml", "--threads", 1, "--tensorboard")
    printed = run("train", mine / "corpus", mine / "run", *words)
    assert "step 2: train cost" in printed
    return mine / "run"


def test_a_training_leaves_its_states_and_its_curves(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert names >= {
        "initial.pt",
        "best.pt",
        "last.pt",
        "network.pt",
        "validations.csv",
        "training_curves.png",
    }
    assert list((trained / "tensorboard").glob("events.out.tfevents.*"))
    facts = states.load(trained / "network.pt")
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
    assert loaded.spec.training_data.startswith("train: advert 12.0 s of 1 group, ")
    assert loaded.spec.training_data.endswith("Stated in task.toml: Tones and noise.")
    network = presets.make("slim", 1)
    network.load_state_dict(states.load(trained / "network.pt")["weights"])
    window = torch.rand(250, 144) * 10
    with torch.inference_mode():
        wanted = torch.sigmoid(network.eval()(window[None]))[0]
    found = loaded.decide(loaded.embed(window[None]))[0]
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    card = (exported / "adverts.md").read_text()
    assert "| labels | advert: independent" in card
    assert "Stated in task.toml: Tones and noise." in card


def test_a_model_card_is_never_written_over(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "adverts.md").write_text("mine")
    run("export", trained, tmp_path / "adverts.pt", "--no-onnx")
    assert (tmp_path / "adverts.md").read_text() == "mine"
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".md", ".pt"]


def test_a_network_of_other_labels_does_not_run_the_pipeline(exported: Path) -> None:
    file = exported / "adverts.pt"
    for path, sha256 in (("path", "sha256"), ("voice_path", "voice_sha256")):
        sets = [f"model.{path}='{file}'", f"model.{sha256}={sha256_of(file)}"]
        chosen = config.load(sets=sets, environ={}).config
        with pytest.raises(SpecMismatch, match=f"model.{path} names a model of advert, not of"):
            build_pipeline(chosen)


def test_a_network_of_other_labels_runs_beside_it(exported: Path, mine: Path) -> None:
    file = exported / "adverts.pt"
    sets = [f"model.labels_path='{file}'", f"model.labels_sha256={sha256_of(file)}",
            "model.backend=torch"]  # fmt: skip
    chosen = config.load(sets=sets, environ={}).config
    pipeline = build_pipeline(chosen)
    samples = read_file(next(mine.glob("advert-*.wav")), rate=RATE)
    events = pipeline.push([AudioChunk("a", 0, samples, RATE)], last=True)
    assert any(event.kind == "segment" for event in events)
    # After two steps of training anything may be an advert; what there is, is one.
    assert {event.label for event in events if isinstance(event, Labelled)} <= {"advert"}


def test_windows_are_predicted_with_these_labels(exported: Path, mine: Path) -> None:
    recording, file = next(mine.glob("advert-*.wav")), exported / "adverts.pt"
    sets = ["--set", f"model.path='{file}'", "--set", f"model.sha256={sha256_of(file)}"]
    lines = run("classify", recording, *sets).splitlines()
    assert lines[0] == "file,start_s,end_s,p_advert"
    spans = [["0.0", "5.0"], ["5.0", "10.0"], ["10.0", "12.0"]]
    assert [line.split(",")[1:3] for line in lines[1:]] == spans


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


def test_a_class_of_the_corpus_that_the_task_does_not_know(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in the corpus is left out without a message; it has no files of another task."""
    limit_synthetic_takes(monkeypatch, 0)
    mine, cache = trained.parent, tmp_path / "corpus"
    lines = (mine / "mine.csv").read_text().replace(",programme,", ",music,").splitlines()
    listed = mine / "music.csv"
    listed.write_text("\n".join(line for line in lines if ",advert," not in line))
    run("train", cache, tmp_path / "first", "--config", mine / "task.toml", "--threads", 1)
    run("corpus", "build", cache, "--manifest", listed, "--workers", 1)
    words = ("train", cache, tmp_path / "run", "--config", mine / "task.toml")
    with pytest.raises(ConfigError, match="of class 'music', which is none of the task's"):
        run(*words)


def test_settings_of_the_command_line_are_checked_too(mine: Path, tmp_path: Path) -> None:
    words = ("train", mine / "corpus", tmp_path, "--config", mine / "task.toml", "--set")
    with pytest.raises(ConfigError, match=r"train\.network='vgg' is unknown"):
        run(*words, "network=vgg")
    with pytest.raises(ConfigError, match="must be name=value"):
        run(*words, "network")


@pytest.fixture
def edited(mine: Path, trained: Path, tmp_path: Path) -> Path:
    """Copy recordings, manifest, task, corpus and training to a folder where they may change."""
    place = tmp_path / "edited"
    shutil.copytree(mine, place, ignore=shutil.ignore_patterns("out", "tensorboard"))
    shutil.rmtree(place / "run")
    shutil.rmtree(place / "corpus")
    words = ("--config", place / "task.toml", "--threads", 1)
    run("train", place / "corpus", place / "run", *words)
    return place


def edit(place: Path, what: str) -> str:
    """Change something that is learnt from; return what the refusal must name."""
    manifest, config = place / "mine.csv", place / "task.toml"
    path, kind, group = next(
        row
        for row in (line.split(",") for line in manifest.read_text().splitlines()[1:])
        if splits.hashed_split(row[2]) == "train"
    )
    match what:
        case "class":
            other = {"advert": "programme", "programme": "advert"}[kind]
            more = f"{path},{other},{group}"
            text = manifest.read_text().replace(f"{path},{kind},{group}", more)
            manifest.write_text(f"{text}\n./{path},{kind},{group}\n")
        case "audio":
            samples = np.random.default_rng(7).integers(-9000, 9000, 8 * RATE, dtype="<i2")
            (place / path).write_bytes((place / path).read_bytes()[:44] + samples.tobytes())
        case "row":
            (place / "more.wav").write_bytes((place / path).read_bytes()[:-3200])
            manifest.write_text(f"{manifest.read_text().strip()}\nmore.wav,{kind},{group}\n")
        case "windows":
            config.write_text(config.read_text() + WINDOWS)
            return "the configuration"
        case "source_balance":
            config.write_text("source_balance = 0.25\n" + config.read_text())
            return "the configuration"
        case "repeats":
            config.write_text("repeats = 2\n" + config.read_text())
    return "the training columns"


WINDOWS = """
[[window]]
share = 0.5
of = ["advert"]

[[window]]
share = 0.5
of = ["programme"]
"""


@pytest.mark.parametrize("what", ["class", "audio", "row", "windows", "source_balance", "repeats"])
def test_a_training_after_an_edit_is_one_from_nothing(edited: Path, what: str) -> None:
    """It never reuses the earlier training state, columns or samples."""
    words = ("--config", edited / "task.toml", "--threads", 1)
    before = (edited / "run" / "network.pt").read_bytes()
    named = edit(edited, what)
    with pytest.raises(ConfigError, match=f"from before .*{named}.* changed: name another"):
        run("train", edited / "corpus", edited / "run", *words)
    assert (edited / "run" / "network.pt").read_bytes() == before
    shutil.copytree(edited / "run", edited / "again")
    (edited / "again" / "state.pt").unlink()
    run("train", edited / "corpus", edited / "again", *words)
    run("train", edited / "nothing", edited / "anew", *words)
    for name in ("record.json", "validations.csv", "batches.csv"):
        assert (edited / "again" / name).read_text() == (edited / "anew" / name).read_text()
    one, two = (states.load(edited / each / "network.pt") for each in ("again", "anew"))
    assert one["record"] == two["record"]
    for name, values in one["weights"].items():
        assert torch.equal(values, two["weights"][name]), name


def test_touched_and_moved_files_train_no_other_network(edited: Path) -> None:
    for path in edited.glob("*.wav"):
        os.utime(path, (1, 1))
    path = next(edited.glob("advert*.wav"))
    path.rename(edited / "program moved.wav")
    manifest = edited / "mine.csv"
    manifest.write_text(manifest.read_text().replace(path.name, "program moved.wav"))
    words = ("--config", edited / "task.toml", "--threads", 1)
    printed = run("train", edited / "corpus", edited / "run", *words)
    assert "6 files reused" in printed
    assert "training columns: reused" in printed


def test_a_second_training_in_the_same_folder_is_refused_while_the_first_runs(
    edited: Path,
) -> None:
    words = ("--config", edited / "task.toml", "--threads", 1)
    with (
        cache.exclusive(edited / "run"),
        pytest.raises(ConfigError, match="another training runs in"),
    ):
        run("train", edited / "corpus", edited / "run", *words)


def test_a_card_describes_this_run(edited: Path, trained: Path) -> None:
    """It has the manifest's licences, only this run's sources, and one statement."""
    manifest = edited / "mine.csv"
    lines = manifest.read_text().splitlines()
    rows = [f"{line},CC BY | 4.0" if "advert" in line else f"{line}," for line in lines[1:]]
    manifest.write_text("\n".join([f"{lines[0]},licence", *rows]))
    words = ("--config", edited / "task.toml", "--threads", 1)
    run("train", edited / "corpus", edited / "run", *words)
    run("export", edited / "run", edited / "out" / "a.pt", "--no-onnx", "--data", "Mine alone.")
    card = (edited / "out" / "a.md").read_text()
    sha256 = hashlib.sha256(manifest.read_bytes()).hexdigest()[:12]
    assert f"| mine | mine.csv (sha256 {sha256}) |" in card
    assert "| train | mine | advert | 1 | 1 | 12.0 s | CC BY \\| 4.0 |" in card
    assert "| train | mine | programme | 1 | 1 | 12.0 s | not stated |" in card
    assert "| validation | mine | advert | 1 | 1 | 12.0 s |" in card
    assert "Stated at the export: Mine alone." in card
    assert "Stated in task.toml: Tones and noise." in card
    assert "| seed | 1 |" in card
    assert "| network | slim |" in card
    assert f"torch {torch.__version__.partition('+')[0]}" in card
    spec = classifier.load(edited / "out" / "a.pt").spec
    assert f"from mine.csv (sha256 {sha256})" in spec.training_data
    assert spec.training_data.endswith("Stated at the export: Mine alone.")
    for words_of_others in ("Debian", "LibriSpeech", "Creative Commons", str(edited)):
        assert words_of_others not in card + spec.training_data


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of the tutorial, after a training that is much too short."""
    spec = spec_from_file_location("tiny_set", ROOT / "docs" / "examples" / "tiny_set.py")
    assert spec is not None
    assert spec.loader is not None
    example = module_from_spec(spec)
    spec.loader.exec_module(example)
    place = tmp_path_factory.mktemp("tutorial")
    example.main(place / "tiny")
    words = ("--config", place / "tiny" / "tiny.toml", "--steps", 12, "--set", "batch=8")
    run("train", place / "corpus", place / "run", *words, "--set", "validate_every=6")
    run("export", place / "run", place / "own.pt")
    return place


def test_the_tutorial_evaluates_each_label(tiny: Path) -> None:
    words = ("--config", tiny / "tiny" / "tiny.toml", "--model", tiny / "own.pt")
    rows = [
        line for line in run("evaluate", tiny / "corpus", *words).splitlines() if line[:1] == "|"
    ]
    assert rows[0] == "| label | precision | recall | F | windows with it | groups |"
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| siren", "| applause"]
    assert all(row.endswith(" | 4 |") for row in rows[2:])


def test_an_evaluation_of_other_labels_is_refused(tiny: Path, exported: Path, mine: Path) -> None:
    words = ("--config", mine / "task.toml", "--model", tiny / "own.pt")
    with pytest.raises(ConfigError, match="the model has the labels siren, applause, the config"):
        run("evaluate", mine / "corpus", *words)
    with pytest.raises(ConfigError, match="name the network with --model"):
        run("evaluate", mine / "corpus", "--config", mine / "task.toml")


def test_the_tutorials_network_runs_without_torch(tiny: Path) -> None:
    sets = [f"model.labels_path='{tiny / 'own.pt'}'", "model.backend=onnx"]
    pipeline = build_pipeline(config.load(sets=sets, environ={}).config)
    samples = read_file(tiny / "tiny" / "broadcast.wav", rate=RATE)
    events = pipeline.push([AudioChunk("a", 0, samples, RATE)], last=True)
    found = [event.label for event in events if event.kind == "segment" and event.final]
    assert found[0] == "speech"
