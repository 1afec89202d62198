"""``airsift corpus``: collections, warnings before the decoding, and the counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from airsift.errors import ConfigError
from model.corpus import decoding, feature_store, takes
from stream.testing import noise, write_wav
from tests.stream.training import run

COLUMNS = "path\tclass\tkind\tgroup\tsource\tlicence\tseconds"


@pytest.fixture(autouse=True)
def _no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_store, "build_store", lambda *_, **__: (0, 0, True))


def collection(folder: Path, rows: list[tuple[str, str, str, str]]) -> Path:
    """Write six seconds of noise for each class, kind, group and source."""
    folder.mkdir()
    lines = [COLUMNS]
    for number, row in enumerate(rows):
        write_wav(folder / f"{number}.wav", noise(6, level=0.1, seed=number))
        lines.append("\t".join([f"{number}.wav", *row, "CC0", "6"]))
    (folder / "index.tsv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.slow
def test_a_collection_is_a_source_for_each_repository(tmp_path: Path) -> None:
    place = collection(
        tmp_path / "more",
        [
            ("speech", "telephone dialogue, 8 kHz", "call:1", "nu-dialogue/moshi-finetune"),
            ("speech", "telephone dialogue, 8 kHz", "call:2", "nu-dialogue/moshi-finetune"),
            ("singing", "folk song: work", "ccmc:x", "D-PLACE/dplace-dataset-ccmc"),
            ("noise", "baby cry", "esc:1", "someone/else"),
        ],
    )
    said = run("corpus", "build", tmp_path / "c", "--collection", place, "--workers", 1)
    assert "warning: the split train will have no speech: add groups" in said
    assert "warning: the split test will have no music and no noise" in said
    rows = [line.split() for line in run("corpus", "stats", tmp_path / "c").splitlines()]
    assert rows[0] == ["split", "class", "sources", "groups", "recordings", "minutes"]
    assert [row for row in rows if row[2] != "0"][1:] == [
        ["train", "singing", "1", "1", "1", "0.1"],
        ["train", "noise", "1", "1", "1", "0.1"],
        ["test", "speech", "1", "2", "2", "0.2"],
    ]
    by_source = run("corpus", "stats", tmp_path / "c", "--by-source").splitlines()
    assert [line.split()[1:4] for line in by_source[1:]] == [
        ["singing", "D-PLACE_dplace-dataset-ccmc", "1"],
        ["noise", "someone_else", "1"],
        ["speech", "nu-dialogue_moshi-finetune", "2"],
    ]
    # The categories and the repository are in the takes, for the reports.
    found = takes.takes(
        tmp_path / "c", takes.split_recordings(tmp_path / "c", "test"), 0, augmented=False
    )
    assert {(take.source, take.category, take.origin) for take in found} == {
        ("nu-dialogue_moshi-finetune", "telephone dialogue", "recipe")
    }


def test_one_source_in_two_folders_is_refused(tmp_path: Path) -> None:
    rows = [("noise", "rain", "a", "one/source")]
    places = [collection(tmp_path / name, rows) for name in ("first", "second")]
    words = [word for place in places for word in ("--collection", place)]
    with pytest.raises(ConfigError, match=r"one_source is in .*first and in .*second"):
        run("corpus", "build", tmp_path / "c", *words)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.wav,speech,anna,test\n", "the split train would be empty: add groups, or place some"),
        ("a.wav,speech,anna,train\nb.wav,speech,anna,test\n", "'anna' is in two splits, train by"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.delattr(decoding, "decode")
    (tmp_path / "mine.csv").write_text(f"path,class,group,split\n{text}")
    with pytest.raises(ConfigError, match=message):
        run("corpus", "build", tmp_path / "c", "--manifest", tmp_path / "mine.csv")


@pytest.mark.slow
def test_the_column_split_of_a_manifest_is_honoured(tmp_path: Path) -> None:
    lines = ["path,class,group,split"]
    for number, split in enumerate(("train", "validation", "test", "")):
        write_wav(tmp_path / f"{number}.wav", noise(1, level=0.1, seed=number))
        lines.append(f"{number}.wav,noise,{'last' if split in ('test', '') else split},{split}")
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    run("corpus", "build", tmp_path / "c", "--manifest", tmp_path / "mine.csv", "--workers", 1)
    found = {
        split: sorted(e.path for e in takes.split_recordings(tmp_path / "c", split))
        for split in ("train", "validation", "test")
    }
    assert found == {"train": ["0.wav"], "validation": ["1.wav"], "test": ["2.wav", "3.wav"]}
