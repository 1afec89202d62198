from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from airsift.errors import ConfigError
from model.corpus.feature_store import TakeRow
from model.training import config
from model.training.loop import Settings
from model.training.mixer import window_targets
from tests.model.stores import store_of

CONFIGS = Path(__file__).parents[2] / "configs"
ADVERTS = """
data = "My own."
labels = ["advert"]
manifest = "mine.csv"

[classes]
advert = ["advert"]
programme = []
noise = []

[train]
steps = 40
network = "slim"

[[window]]
share = 0.5
of = ["advert"]

[[window]]
share = 0.3
of = ["programme", "noise"]
under_db = [-30, -10]

[[window]]
share = 0.2
of = ["advert", "programme"]
spliced = true
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "adverts.toml"
    path.write_text(text)
    return path


def test_a_task_is_read_from_its_file(tmp_path: Path) -> None:
    read = config.load_task(written(tmp_path, ADVERTS), seed=7, device=None)
    assert read.labels == ("advert",)
    assert read.classes == {"advert": (0,), "programme": (), "noise": ()}
    assert read.foreground == ("advert", "programme")
    assert read.manifest == tmp_path / "mine.csv"
    assert read.transposition == 8
    assert read.settings == Settings(steps=40, network="slim", seed=7, filter_labels_at=1.0)
    random = np.random.default_rng(0)
    drawn = [
        [(source.kind, source.gain_db) for source in recipe(random)] for _, recipe in read.recipes
    ]
    assert drawn[0] == [("advert", 0.0)]
    assert drawn[1][0] == ("programme", 0.0)
    assert -30 <= drawn[1][1][1] <= -10
    assert [kind for kind, _ in drawn[2]] == ["advert", "programme"]


def test_the_voice_task_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.find_task(Path("voice")) == CONFIGS / "voice.toml"
    assert config.find_task(Path("mine.toml")) == Path("mine.toml")
    (tmp_path / "voice").touch()
    assert config.find_task(Path("voice")) == Path("voice")
    read = config.load_task(CONFIGS / "voice.toml")
    assert set(read.groups.values()) == {"female", "male"}
    assert read.labels == ("female", "male")
    assert read.transposition == 1  # half a semitone
    assert read.foreground == ("female", "male")


def test_without_windows_every_class_is_drawn_alone_and_next_to_the_others(tmp_path: Path) -> None:
    read = config.load_task(written(tmp_path, ADVERTS.partition("[[window]]")[0]))
    assert sum(share for share, _ in read.recipes) == pytest.approx(1)
    random = np.random.default_rng(0)
    kinds = {tuple(source.kind for source in recipe(random)) for _, recipe in read.recipes}
    names = ("advert", "programme", "noise")
    assert kinds == {(a,) for a in names} | {(a, b) for a in names for b in names if a != b}


def test_a_mixer_draws_the_targets_of_the_task(tmp_path: Path) -> None:
    read = config.load_task(written(tmp_path, ADVERTS))
    kinds = ("advert", "programme", "noise")
    columns = np.random.default_rng(0).uniform(0, 9, (3 * 600, 144)).astype(np.float16)
    takes = [TakeRow(f"{kind}:1", kind, 600 * i, 600 * (i + 1)) for i, kind in enumerate(kinds)]
    mixer = read.mixer(store_of(columns, takes, read.classes), frozenset())
    windows, active, *_ = mixer.batch(64, np.random.default_rng(1))
    shares = window_targets(active)
    assert windows.shape == (64, 250, 144)
    assert shares.shape == (64, 1)
    assert 0.3 < float((shares > 0.99).float().mean()) < 0.7
    assert 0.1 < float((shares == 0).float().mean()) < 0.5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('labels = ["advert"]', 'labels = ["jingle"]', "switch on advert, which labels does not"),
        ('labels = ["advert"]', 'labels = ["advert", "jingle"]', "no class switches on jingle"),
        ('of = ["advert"]', 'of = ["advrt"]', "made of advrt, which is none of the classes"),
        ('of = ["advert"]', 'of = ["advert", "noise"]', "has one class alone, or two with"),
        ("share = 0.5", "share = 1.5", r"window\.0\.share"),
        ("steps = 40", "stepz = 40", r"train\.stepz is unknown: use one of steps"),
        ("steps = 40", 'steps = "many"', r"train\.steps='many' must be of type int"),
        ("steps = 40", "steps = 0", r"train\.steps=0 must be positive"),
        ('network = "slim"', 'network = "vgg"', r"train\.network='vgg' is unknown"),
        ("data =", "dta =", "dta: Extra inputs are not permitted"),
        ("data =", "most_seconds = 9\ndata =", "most_seconds is now called max_seconds_per_group"),
        ("steps = 40", "clean_at = 1.0", "clean_at is now called train.filter_labels_at"),
        ("[classes]", "[classes", "is not TOML"),
    ],
)
def test_a_mistake_is_one_line_with_its_position(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in ADVERTS
    with pytest.raises(ConfigError, match=message) as caught:
        config.load_task(written(tmp_path, ADVERTS.replace(old, new, 1)))
    assert "adverts.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: No such file"):
        config.load_task(tmp_path / "none.toml")
    (tmp_path / "bad.tsv").write_text("anna female\n")
    text = ADVERTS.replace("manifest =", 'groups = "bad.tsv"\nmanifest =')
    with pytest.raises(ConfigError, match="must be a group, a class"):
        config.load_task(written(tmp_path, text))
