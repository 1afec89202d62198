"""Tables of groups and clips: what they divide stays whole, and what is wrong in them is said."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import ConfigError
from model.corpus import groups
from model.corpus.groups import Clip
from model.corpus.recordings import Recording
from model.corpus.sources import SPLITS
from model.spec import SAMPLE_RATE

seconds = st.integers(0, 60)


def recording(path: str, group: str, *, start: int = 0, samples: int = 0) -> Recording:
    return Recording("s", path, "speech", group, start, start + samples, path, "recipe")


@given(st.lists(st.tuples(seconds, st.integers(1, 30)), max_size=6), st.integers(1, 40), seconds)
def test_clips_are_the_parts_of_their_file_that_it_has(
    drawn: list[tuple[int, int]], length: int, offset: int
) -> None:
    clips = [Clip(start, start + long, f"v{i}") for i, (start, long) in enumerate(drawn)]
    whole = recording("a", "many", start=offset * SAMPLE_RATE, samples=length * SAMPLE_RATE)
    parts = groups.cut_clips([whole, recording("b", "one", samples=5)], {"a": clips})
    assert parts[-1] == recording("b", "one", samples=5)
    expected = [
        (clip.group, clip.start, min(clip.end, length)) for clip in clips if clip.start < length
    ]
    assert expected == [
        (
            part.group,
            (part.start - whole.start) / SAMPLE_RATE,
            (part.end - whole.start) / SAMPLE_RATE,
        )
        for part in parts[:-1]
    ]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz")), max_size=12))
def test_the_table_splits_its_groups_and_a_copy_is_in_the_strictest(
    drawn: list[tuple[str, str]],
) -> None:
    splits = {"a": SPLITS[0], "b": SPLITS[1], "c": SPLITS[2], "d": SPLITS[0]}
    listed = [recording(digest, group, samples=9) for group, digest in drawn]
    found = {split: groups.split_of_table(listed, splits, split) for split in SPLITS}
    for split, chosen in found.items():
        assert all(splits[each.group] == split for each in chosen)
    where = {each.digest: split for split, chosen in found.items() for each in chosen}
    for group, digest in drawn:
        assert SPLITS.index(where[digest]) >= SPLITS.index(splits[group])


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c", "x", "y", "z"]), st.booleans(), seconds),
        max_size=8,
    )
)
def test_no_sample_is_in_two_splits(drawn: list[tuple[str, bool, int]]) -> None:
    """Copies of one file of 70 s: whole or cut, listed in the table or not."""
    splits = {"a": SPLITS[0], "b": SPLITS[1], "c": SPLITS[2]}
    recordings: list[Recording] = []
    for number, (group, whole, start) in enumerate(drawn):
        # Unlisted groups are of the user, who states the split.
        stated = dict(zip("xyz", SPLITS, strict=True)).get(group, "")
        copy = Recording(
            "own", f"copy{number}", "speech", group, 0, 70 * SAMPLE_RATE, "file", split=stated
        )  # fmt: skip
        clips = {copy.path: [Clip(start, start + 10, group)]}
        recordings += groups.cut_clips([copy], {} if whole else clips)
    found: dict[str, set[int]] = {}
    for split in SPLITS:
        chosen = groups.split_of_table(recordings, splits, split)
        found[split] = {
            second
            for each in chosen
            for first in [int(each.digest.partition(":")[2] or 0) // SAMPLE_RATE]
            for second in range(first, first + (each.end - each.start) // SAMPLE_RATE)
        }
    for one, two in itertools.combinations(SPLITS, 2):
        assert not found[one] & found[two]
    # What is held out most strictly is there.
    test = [each for each in recordings if each.group in ("c", "z")]
    assert len(groups.split_of_table(recordings, splits, "test")) == len(test)


def test_clips_of_one_file_may_be_in_several_splits() -> None:
    clips = {"a": [Clip(0, 10, "a"), Clip(10, 20, "b")]}
    parts = groups.cut_clips([recording("a", "many", samples=20 * SAMPLE_RATE)], clips)
    for part, split in zip(parts, SPLITS, strict=False):
        assert groups.split_of_table(parts, {"a": SPLITS[0], "b": SPLITS[1]}, split) == [part]


def test_a_group_without_a_split_is_where_the_corpus_has_it() -> None:
    demo = recording("x", "librispeech:26", samples=9)
    where = [split for split in SPLITS if groups.split_of_table([demo], {}, split)]
    assert len(where) == 1
    for split in SPLITS:
        assert bool(groups.split_of_table([demo], {"librispeech:26": split}, split))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("anna\n", "must be a group, a class"),
        ("anna\tfemale\ttrain\tx\n", "must be a group, a class"),
        ("# voices\nanna\tfemale\nanna\tmale\n", "line 3: 'anna' is there twice"),
        ("anna\tfemale\ttraining\n", "split 'training' must be one of train"),
    ],
)
def test_a_wrong_row_of_groups_is_named(tmp_path: Path, text: str, message: str) -> None:
    table = tmp_path / "groups.tsv"
    table.write_text(text)
    with pytest.raises(ConfigError, match=message):
        groups.read_groups(table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.wav\t0\t1\n", "must be a path, a start, an end and a group"),
        ("a.wav\tzero\t1\tanna\n", "must be a path, a start, an end and a group"),
        ("a.wav\t2\t1\tanna\n", "2 to 1 s must be a part of a file"),
        ("a.wav\t0\tinf\tanna\n", "must be a part of a file"),
        ("a.wav\tnan\t1\tanna\n", "must be a part of a file"),
    ],
)
def test_a_wrong_row_of_clips_is_named(tmp_path: Path, text: str, message: str) -> None:
    table = tmp_path / "clips.tsv"
    table.write_text(text)
    with pytest.raises(ConfigError, match=message):
        groups.read_clips(table)
