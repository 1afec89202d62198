"""Every group is in one split, whole sources are held out, and what would leak is refused."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import ConfigError
from model.corpus import categories, splits, takes
from model.corpus import sources as recipe
from model.corpus.recordings import Recording
from model.corpus.sources import Item
from tests.examples import examples

TABLE: dict[str, recipe.Split] = {"games": "train", "choir": "validation", "phone": "test"}


def public(source: str, group: str, kind: str = "speech") -> Item:
    return Item(source, f"{group}.wav", kind, group, "recipe")


def own(group: str, split: recipe.StatedSplit = "", source: str = "mine") -> Item:
    return Item(source, f"{group}.wav", "speech", group, split=split)


names = st.text(min_size=1, max_size=12)
groups = names | st.sampled_from(["anna", "phone", "choir:1"])
# Of a whole recording, or of a part: a colon and its first sample.
digests = st.from_regex(r"[0-9a-f]{1,4}(:[0-9]{1,3})?", fullmatch=True)


@pytest.mark.slow
@examples(200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*splits.load_splits(), "unlisted"]), groups,
            st.sampled_from(["own", "recipe"]), st.sampled_from(["", *recipe.SPLITS]), digests,
        ),
        max_size=12,
    )
)  # fmt: skip
def test_no_group_and_no_recording_is_in_two_splits_under_any_name(
    rows: list[tuple[str, str, recipe.Origin, recipe.StatedSplit, str]],
) -> None:
    """Or it is refused. Sources that are held out have nothing for training in any case."""
    recordings = [
        Recording(source, "", "speech", group, 0, 1, digest, origin, split=stated)
        for source, group, origin, stated, digest in rows
    ]
    table = splits.load_splits()
    where: dict[str, set[str]] = {}
    with suppress(ConfigError):
        for split in recipe.SPLITS:
            for each in takes.select_split(recordings, split):
                for name in (f"group {each.group}", f"recording {each.digest}"):
                    where.setdefault(name, set()).add(split)
                if each.origin == "recipe":
                    assert split == table.get(each.source, "train")
                elif each.split:
                    assert split == each.split
    assert all(len(found) == 1 for found in where.values())


def test_the_table_places_sources_and_the_manifest_or_a_hash_places_own_groups() -> None:
    listed = [
        public("games", "a"), public("choir", "b"), public("phone", "c"), public("unlisted", "d"),
        own("e", "validation"), own("e"), own("f"), own("a"), own("phone"),
    ]  # fmt: skip
    assert splits.assign_splits(listed, TABLE) == {
        "a": "train", "b": "validation", "c": "test", "d": "train", "e": "validation",
        "f": splits.hashed_split("f"), "phone": splits.hashed_split("phone"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (
            [public("games", "actor 1"), public("phone", "actor 1")],
            r"'actor 1' is in two splits, train by games and test by phone: place both sources",
        ),
        (
            [own("anna", "train"), own("anna", "test", "more")],
            r"'anna' is in two splits, train by mine and test by more: write the same split",
        ),
        (
            [public("phone", "anna"), own("anna")],
            r"'anna' of mine is also in phone, which is in test: give it another name",
        ),
        (
            [own("anna", "test"), public("games", "anna")],
            r"'anna' of mine is also in games, which is in train, and mine places it in test",
        ),
    ],
)
def test_a_group_that_leaks_is_refused_by_name_in_any_order(
    listed: list[Item], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        splits.assign_splits(listed, TABLE)
    with pytest.raises(ConfigError, match=listed[0].group):
        splits.assign_splits(listed[::-1], TABLE)


def test_the_projects_own_splits_hold_out_enough_sources_of_every_class() -> None:
    table = splits.load_splits()
    items = recipe.debian_items()
    splits.assign_splits(items, table)
    for split, least in (("validation", 6), ("test", 10)):
        assert sum(each == split for each in table.values()) >= least
        for kind in ("speech", "music", "noise"):
            found = {e.source for e in items if e.kind == kind and table.get(e.source) == split}
            assert len(found) >= 2, (split, kind)
    assert {item.source for item in items} <= set(table)
    # The same volunteers, actors and collection in several sources.
    for family in (
        ("kajongg", "klettres-data", "ktuberling-data"),
        ("bagustris_ravdess_song", "syildizn_RavdessSounds"),
        ("karoldvl_ESC-10", "londonreturns_ESC-50_Sound_Classification"),
    ):
        assert len({table[source] for source in family}) == 1, family


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("games\tdev\n", "split 'dev' of 'games' must be one of train, validation, test"),
        ("games\ttrain\ngames\ttest\n", "'games' is in the table of splits twice"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "splits.tsv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        splits.load_splits(tmp_path / "splits.tsv")


def test_what_a_split_lacks_is_named_and_singing_is_music() -> None:
    listed = [public("games", "a"), public("games", "b", "singing"), public("phone", "c", "noise")]
    assert splits.lacking(listed, splits.assign_splits(listed, TABLE)) == {
        "train": ["noise"],
        "validation": ["speech", "music", "noise"],
        "test": ["speech", "music"],
    }


INDEX = "path\tclass\tkind\tgroup\tsource\tlicence\tseconds\n"


def test_a_collection_lists_sources_groups_and_categories(tmp_path: Path) -> None:
    (tmp_path / "index.tsv").write_text(
        f"{INDEX}a.opus\tsinging\tfolk song: work | folk song: love\tccmc:x\tD/data\tCC0\t9\n"
        "b.opus\tnoise\tbaby cry\tesc:1\t../up\t\t9\n"
    )
    one, two = recipe.collection_items(tmp_path)
    assert one == Item(
        "D_data", "a.opus", "singing", "ccmc:x", "recipe", licence="CC0", category="field song"
    )
    assert (two.source, two.category) == ("_._up", "baby cry")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path\tclass\n", "no column kind, group, source"),
        (f"{INDEX}a.opus\tspeech\tprompts\tx\t\t\t\n", "line 2 has no source"),
        (f"{INDEX}a.opus\tmixed\tprompts\tx\ty\t\t\n", "line 2: class='mixed' is unknown"),
    ],
)
def test_a_wrong_index_of_a_collection_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "index.tsv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        recipe.collection_items(tmp_path)


@pytest.mark.parametrize(
    ("kind", "category"),
    [
        ("solo: piano | solo: bell | solo: guitar", "solo instruments"),
        ("solo violin, Bach", "solo instruments"),
        ("telephone dialogue, two speakers, 8 kHz", "telephone dialogue"),
        ("telephone, real call centre, 8 kHz, RU", "call centre"),
        ("dog bark", "dog bark"),
        ("song, voice with guitar | song idea, phone", "song | song idea"),
        ("", ""),
    ],
)
def test_the_category_is_the_kind_without_its_details(kind: str, category: str) -> None:
    assert categories.of_collection(kind) == category


@given(names.filter(str.strip))
def test_the_name_of_a_source_is_the_name_of_a_file_in_the_folder(public_name: str) -> None:
    name = recipe.source_name(public_name)
    assert name
    assert not name.startswith(".")
    assert Path(name).name == name
