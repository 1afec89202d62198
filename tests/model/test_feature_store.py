"""Stores: every part is of its source and seed, and tags belong to their takes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from model.corpus import feature_store, takes, teacher
from model.corpus.recordings import Recording
from model.corpus.takes import Take
from model.training.mixer import Mixer
from model.training.mixture import Solo
from tests.model.stores import untrained_teacher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

SOURCES = ("a", "a.1", "a.v1", "a.v2", "wesnoth-1.16-music", "synthetic", "scenes-00")


def seconds_of(source: str) -> int:
    return 6 if source == "a" else 2  # one has room for the windows of a batch


def take_of(source: str, seed: int) -> Take:
    """Return noise that follows from the source and the seed; a take of music of each source."""
    random, seconds = np.random.default_rng([seed, *source.encode()]), seconds_of(source)
    samples = (0.1 * random.standard_normal(seconds * 16_000)).astype(np.float32)
    origin = "synthetic" if source == "made" else "recipe"
    return Take(f"{source}:1", "music", samples, np.ones(seconds * 50, np.bool_), source, origin)


@cache
def columns_of(source: str, seed: int) -> NDArray[np.float16]:
    alone = feature_store.StoreWriter()
    alone.add(take_of(source, seed))
    return alone.part().columns


@pytest.fixture(autouse=True)
def _corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a recording in each source, and one synthetic take."""
    listed = [
        Recording(source, "x.ogg", "music", f"{source}:1", 0, 9, source, "recipe")
        for source in SOURCES
    ]

    def takes_of_part(_: Path, part: takes.TakePart, seed: int) -> Iterator[Take]:
        if part.contents == "source":
            yield take_of(part.name, seed)
        elif part.contents == "synthetic":
            yield take_of("made", seed)

    monkeypatch.setattr(takes, "known_kinds", lambda *_: listed)
    monkeypatch.setattr(takes, "takes_of_part", takes_of_part)


@pytest.mark.slow
def test_parts_are_of_their_source_and_seed(tmp_path: Path) -> None:
    """Names with dots are names of their own, and another seed computes other parts."""
    for seed in (1, 2, 1):
        count, _, reused = feature_store.build_store(tmp_path, "train", seed=seed)
        assert not reused
        key = feature_store.key_of(tmp_path, "train", seed)
        opened = feature_store.open_store(tmp_path, "train", key)
        assert [row.source for row in opened.takes] == [*sorted(SOURCES), "made"]
        for row in opened.takes:
            expected = columns_of(row.source, seed)
            assert np.array_equal(opened.columns[row.start : row.end], expected), (row, seed)
        parts = len(takes.parts(tmp_path, "train"))
        assert count == len(SOURCES) + 1
        assert len(list((tmp_path / feature_store.PARTS).iterdir())) == 2 * parts


@pytest.mark.slow
def test_a_part_is_reused_only_with_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted build computes what is missing, and a damaged index again."""
    feature_store.build_store(tmp_path, "train")
    whole = (tmp_path / "train.json").read_bytes()
    (tmp_path / "train.json").unlink()
    computed: list[str] = []
    original = takes.takes_of_part

    def counted(folder: Path, part: takes.TakePart, seed: int) -> Iterator[Take]:
        computed.append(part.name)
        return original(folder, part, seed)

    monkeypatch.setattr(takes, "takes_of_part", counted)
    one, two = (
        next((tmp_path / feature_store.PARTS).glob(f"train-{name}-*.json")) for name in ("a.1", "a")
    )
    one.write_bytes(two.read_bytes())
    next((tmp_path / feature_store.PARTS).glob("train-a.v2-*.json")).unlink()
    feature_store.build_store(tmp_path, "train")
    assert computed == ["a.1", "a.v2"]
    assert (tmp_path / "train.json").read_bytes() == whole


def test_a_source_called_synthetic_is_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(takes, "takes", lambda *_, **__: iter(["recorded"]))
    monkeypatch.setattr(takes, "synthetic_takes", lambda *_: iter(["synthetic"]))
    for name in ("synthetic", "scenes-00"):
        assert list(takes.takes_of_part(tmp_path, takes.TakePart(name, []), 1)) == ["recorded"]
    part = takes.TakePart("synthetic", [], "synthetic")
    assert list(takes.takes_of_part(tmp_path, part, 1)) == ["synthetic"]


@pytest.mark.slow
def test_tags_are_those_of_the_take_and_reach_the_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tagger = untrained_teacher()
    monkeypatch.setattr(teacher, "load_teacher", lambda _: tagger)
    feature_store.build_store(tmp_path, "train", teacher_folder=tmp_path)
    opened = feature_store.open_training_store(tmp_path)
    assert opened.tags is not None
    expected = [tagger.tags(take_of(row.source, 1).samples) for row in opened.takes]
    assert [len(tags) for tags in expected] == [2 * seconds_of(row.source) for row in opened.takes]
    assert [row.first_tag for row in opened.takes] == [
        sum(map(len, expected[:i])) for i in range(len(expected))
    ]
    assert np.array_equal(opened.tags, np.concatenate(expected))
    # The teacher softens what a list says, not what a generator makes.
    for row in opened.takes:
        speech = opened.targets[row.start : row.end, 0]
        assert bool((speech > 0).any()) == (row.origin != "synthetic"), row
    mixer = Mixer(
        opened, recipes=((1.0, Solo("music")),), kinds=("music",),
        dropped=frozenset(range(1, len(opened.takes))),
    )  # fmt: skip
    batch = mixer.batch(40, np.random.default_rng(0))
    assert 30 <= len(batch.tagged) <= 40  # interrupted windows have none
    assert batch.tags.shape == (len(batch.tagged), len(tagger.names))
    known = torch.from_numpy(expected[0].astype(np.float32) / 255.0)
    assert all((known == tag).all(dim=1).any() for tag in batch.tags)
