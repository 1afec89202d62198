from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from airsift.errors import ConfigError
from model.corpus import cache
from model.corpus.sources import SPLITS
from model.experiments import windows
from model.experiments.config import Sizes, WindowChoice
from model.experiments.features import store
from model.experiments.features.mfcc import MFCC
from stream.testing import write_wav
from tests.model.experiments.manifest import write_manifest

CHOICE = WindowChoice(negative=["speech"], positive=["music"])
SIZES = Sizes(train=12, validation=7, test=4, epochs=1, seeds=1)
LENGTH = 80_000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("audio")
    windows.decode_manifest(write_manifest(folder), folder / "corpus", lambda line: None)
    return folder / "corpus"


@pytest.mark.parametrize("split", ["sources", "windows"])
def test_both_classes_have_half_of_the_windows(corpus, split) -> None:
    drawn = windows.draw(corpus, CHOICE, split, SIZES, LENGTH // 5)
    for name, count in (("train", 12), ("validation", 7), ("test", 4)):
        rows = drawn[name]
        assert Counter(rows.classes.tolist()) == {0: count // 2, 1: count - count // 2}
        for each, of in zip(rows.recordings, rows.classes, strict=True):
            assert each.kind == ("music" if of else "speech")
        assert rows.samples(1, 3).shape == (2, LENGTH // 5)


def test_a_group_is_in_one_split(corpus) -> None:
    drawn = windows.draw(corpus, CHOICE, "sources", SIZES, LENGTH)
    groups = [set(drawn[split].groups) for split in SPLITS]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    for split in SPLITS:
        assert all(f"-{split}-" in group for group in drawn[split].groups)


def test_windows_at_random_are_of_any_group_and_do_not_overlap(corpus) -> None:
    sizes = Sizes(train=18, validation=8, test=8, epochs=1, seeds=1)
    drawn = windows.draw(corpus, CHOICE, "windows", sizes, LENGTH)
    taken = [
        (each.group, start)
        for split in SPLITS
        for each, start in zip(drawn[split].recordings, drawn[split].starts.tolist(), strict=True)
    ]
    assert len(set(taken)) == len(taken) == 34
    assert all(start % LENGTH == 0 for _, start in taken)
    assert set(drawn["train"].groups) & set(drawn["test"].groups)


def test_the_same_corpus_gives_the_same_windows_at_every_length_of_training(corpus) -> None:
    first = windows.draw(corpus, CHOICE, "sources", SIZES, LENGTH)
    longer = SIZES.model_copy(update={"epochs": 7, "seeds": 3})
    second = windows.draw(corpus, CHOICE, "sources", longer, LENGTH)
    assert {split: first[split].key for split in SPLITS} == {
        split: second[split].key for split in SPLITS
    }
    shorter = windows.draw(corpus, CHOICE, "sources", SIZES, LENGTH // 2)
    assert shorter["train"].key != first["train"].key


def test_drawing_waits_for_a_build_of_its_recordings(corpus) -> None:
    """A second command on the same manifest looks for changes while the first one draws."""
    expected = windows.draw(corpus, CHOICE, "sources", SIZES, LENGTH)
    waits, said = threading.Event(), []

    def report(line: str) -> None:
        said.append(line)
        waits.set()

    with ThreadPoolExecutor(1) as other:
        with cache.building(corpus, report), cache.changing(corpus):
            drawn = other.submit(windows.draw, corpus, CHOICE, "sources", SIZES, LENGTH, report)
            assert waits.wait(10)
            assert not drawn.done()
        assert drawn.result(10)["test"].key == expected["test"].key
    assert said == [f"another command is building {corpus}: waiting for it"]
    # One that was interrupted is nothing to wait for.
    (corpus / cache.UNFINISHED).touch()
    with pytest.raises(ConfigError, match="a build of it was interrupted"):
        windows.draw(corpus, CHOICE, "sources", SIZES, LENGTH, report)
    (corpus / cache.UNFINISHED).unlink()


def test_voices_of_a_manifest_are_its_classes(corpus) -> None:
    choice = WindowChoice(negative=["female"], positive=["male"], voices=True)
    drawn = windows.draw(corpus, choice, "sources", SIZES, 2400)
    assert {each.kind for each in drawn["train"].recordings} == {"female", "male"}


def test_quiet_windows_are_left_out(tmp_path) -> None:
    manifest = write_manifest(tmp_path, {"speech": 0, "music": 440}, groups=1)
    loud = np.zeros(16 * 16_000, np.float32)
    loud[8 * 16_000 :] = 0.3
    for split in SPLITS:
        write_wav(tmp_path / f"speech-{split}-0.wav", loud)
    # Three files that are equal would be copies of each other.
    for number, split in enumerate(SPLITS):
        write_wav(tmp_path / f"speech-{split}-0.wav", loud * (1 - 0.1 * number))
    windows.decode_manifest(manifest, tmp_path / "corpus", lambda line: None)
    drawn = windows.draw(tmp_path / "corpus", CHOICE, "sources", SIZES, 16_000)
    rows = drawn["train"]
    assert all(rows.starts[rows.classes == 0] > 7 * 16_000)


@pytest.mark.parametrize(
    ("sizes", "split", "length", "message"),
    [
        (SIZES, "sources", 17 * 16_000,
         "the split train has 0 groups of speech with 17 s or more, and 0 of 6 windows"),
        (SIZES.model_copy(update={"train": 40}), "windows", LENGTH,
         "there are 18 of 25 windows of speech .* 5 s each, .* smaller --scale"),
    ],
)  # fmt: skip
def test_too_little_audio_is_refused_in_one_line(corpus, sizes, split, length, message) -> None:
    with pytest.raises(ConfigError, match=message):
        windows.draw(corpus, CHOICE, split, sizes, length)


def test_a_wrong_manifest_is_refused(tmp_path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("path,kind\na.wav,music\n")
    with pytest.raises(ConfigError, match="has no column class, group"):
        windows.decode_manifest(table, tmp_path / "corpus", lambda line: None)
    table.write_text("path,class,group\na.wav,jingle,x\n")
    with pytest.raises(ConfigError, match=r"line 2: class='jingle' is unknown: use one of speech"):
        windows.decode_manifest(table, tmp_path / "corpus", lambda line: None)


def test_features_are_computed_once_and_standardised_by_the_training_windows(
    corpus, tmp_path
) -> None:
    drawn = windows.draw(corpus, CHOICE, "sources", SIZES, LENGTH)
    feature, calls = MFCC(), []
    stored = store.stored(feature, drawn, tmp_path, lambda done, total: calls.append((done, total)))
    assert calls[-1] == (23, 23)
    for split in SPLITS:
        rows = drawn[split]
        wanted = feature(torch.from_numpy(rows.samples(0, len(rows)))).numpy()
        np.testing.assert_allclose(stored.inputs[split], wanted, atol=0.3)
    train = stored.inputs["train"].astype(float)
    np.testing.assert_allclose(stored.mean[:, 0], train.mean((0, 2)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(stored.deviation[:, 0], train.std((0, 2)), rtol=1e-4)
    again = store.stored(feature, drawn, tmp_path, lambda done, total: calls.append((0, 0)))
    assert again.key == stored.key
    assert (0, 0) not in calls
    next(tmp_path.glob("mfcc-*-test.npy")).write_bytes(b"damaged")
    with pytest.raises(ConfigError, match=r"is damaged .* remove it and start again"):
        store.stored(feature, drawn, tmp_path, lambda done, total: None)
