"""The record of a training describes its inputs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.corpus import recordings
from model.corpus.feature_store import FeatureStore, TakeRow
from model.corpus.recordings import Recording
from model.corpus.sources import Item
from model.evaluation import model_card
from model.training import record
from model.training.loop import Settings
from model.training.validation import Validation
from stream.testing import write_wav

RATE = 16_000
SHA = "0123456789abcdef" * 4


def data(*sources: str, facts: dict | None = None) -> record.TrainingData:
    rows = [
        Recording(source, f"{n}.wav", "speech", f"{source}:{n}", 0, RATE * 90, "d", licence="CC0")
        for source in sources
        for n in range(2)
    ]
    takes = [
        TakeRow("mine:0", "speech", 0, 3000, sources[0]),
        TakeRow("synthetic-hiss:1", "noise", 3000, 6000, "synthetic-hiss", "synthetic"),
    ]
    columns = FeatureStore(
        np.zeros((6000, 144), np.float16), np.zeros((6000, 2), np.float16), takes
    )
    held_out = Validation(torch.zeros(3, 250, 144), torch.zeros(3, 1), ["speech"] * 3)
    about = {name: (facts or {}).get(name, {"sha256": SHA}) for name in [*sources, "unused"]}
    return record.TrainingData(
        {"train": rows, "validation": rows[:1]}, about, columns, held_out, ["speech"],
        {"speech": (0,), "noise": ()}, {},
    )  # fmt: skip


STATE = {
    "dropped": [0], "inputs": {"the code": SHA},
    "validations": [(10, 0.5, 0.4, 0.2, 0.4), (20, 0.4, 0.3, 0.1, 0.3), (30, 0.3, 0.6, 0.3, 0.3)],
}  # fmt: skip


def made(*sources: str, facts: dict | None = None) -> dict:
    return record.of_training(data(*sources, facts=facts), Settings(seed=7), STATE)


def test_a_record_counts_what_was_used() -> None:
    found = made("mine", "other")
    assert found["sources"].keys() == {"mine", "other"}
    assert found["selected"] == {"step": 20, "cost": 0.3, "error": 0.1}
    assert found["filtered as mislabelled"] == ["mine:0"]
    assert found["settings"]["seed"] == 7
    assert found["validation windows"] == {"speech": 3}
    assert found["recordings"][0] == {
        "split": "train", "source": "mine", "class": "speech", "licence": "CC0", "groups": 2,
        "recordings": 2, "seconds": 180.0,
    }  # fmt: skip
    assert [(row["class"], row["synthetic"], row["seconds"]) for row in found["columns"]] == [
        ("noise", True, 60.0), ("speech", False, 60.0),
    ]  # fmt: skip


def test_each_source_is_named_as_what_it_was() -> None:
    facts = {
        "voices": {"package": "voices_1.0_all.deb", "sha256": SHA, "licences": []},
        "mine": {"listed": {"manifest": "mine.csv", "sha256": SHA}, "sha256": SHA},
        "librispeech": {"listed": {"option": "--librispeech"}, "sha256": SHA},
    }
    text = record.sentence(made(*facts, facts=facts))
    assert text == (
        "train: speech 9.0 min of 6 groups; validation: speech 1.5 min of 1 group; from 1 Debian "
        "package, mine.csv (sha256 0123456789ab), librispeech (given with --librispeech, contents "
        "0123456789ab)."
    )


@given(st.sets(st.sampled_from(["mine", "librispeech", "songs", "scratch", "a|b"]), min_size=1))
def test_only_sources_of_the_run_are_on_its_card(sources: set[str]) -> None:
    found = made(*sorted(sources))
    text = model_card.data_section(found, "") + model_card.training_section(found)
    cells = {cell for line in text.splitlines() for cell in line.split(" | ")}
    for name in ("mine", "librispeech", "songs", "scratch"):
        assert (name in cells) == (name in sources), name
    assert ("a\\|b" in cells) == ("a|b" in sources)
    assert "unused" not in text
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")


def packed(folder: Path, name: str, seed: int, licence: str) -> Path:
    root = folder / f"{name}-{seed}"
    (root / "DEBIAN").mkdir(parents=True)
    about = f"Package: {name}\nVersion: {seed}\nArchitecture: all\nMaintainer: x <x@x>\n"
    (root / "DEBIAN" / "control").write_text(f"{about}Description: x\n")
    doc = root / "usr/share/doc" / name
    doc.mkdir(parents=True)
    (doc / "copyright").write_text(f"Format: https://x/\n\nFiles: *\nLicense: {licence}\n")
    for number in range(2):
        samples = np.random.default_rng(seed + number).integers(-3000, 3000, RATE)
        write_wav(root / "usr/share" / f"{number}.wav", samples / 32_767, RATE)
    file = folder / f"{name}_{seed}_all.deb"
    subprocess.run(["dpkg-deb", "--build", root, file], check=True, capture_output=True)
    return file


@pytest.mark.process
def test_a_package_is_decoded_again_when_it_changes_and_its_licences_are_recorded(
    tmp_path: Path,
) -> None:
    items = [
        Item("voices", f"usr/share/{n}.wav", "speech", f"voices:{n}", "recipe") for n in range(3)
    ]
    there = items[:2]
    first, second = packed(tmp_path, "voices", 1, "CC-BY-3.0"), packed(tmp_path, "voices", 5, "CC0")

    def build(file: Path, listed: list[Item]) -> recordings.Built:
        return recordings.build_source(recordings.Job("voices", listed, file), tmp_path / "c")

    built = build(first, items)
    assert built.broken == ["usr/share/2.wav: voices_1_all.deb has no such file"]
    assert build(first, there) == recordings.Built(2, [], 2, 0)
    assert {each.licence for each in recordings.read_index(tmp_path / "c")} == {"CC-BY-3.0"}
    regrouped = [Item("voices", e.path, "speech", "voices:all", "recipe") for e in there]
    assert build(first, regrouped) == recordings.Built(2, [], 2, 0)
    assert {each.group for each in recordings.read_index(tmp_path / "c")} == {"voices:all"}
    # Under the old one's name, as a mirror or a script may put it there.
    second.replace(first)
    assert build(first, regrouped) == recordings.Built(2, [], 0, 2)
    assert {each.licence for each in recordings.read_index(tmp_path / "c")} == {"CC0"}
    anew = recordings.build_source(recordings.Job("voices", regrouped, first), tmp_path / "anew")
    assert anew.decoded == 2
    for one in (tmp_path / "c" / "audio").iterdir():
        assert one.read_bytes() == (tmp_path / "anew" / "audio" / one.name).read_bytes()
