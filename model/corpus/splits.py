"""The assignment of groups to training, validation and test.

``splits.tsv`` holds out whole sources of the recipe: a package, a repository or a collection. Two
recordings of one source share microphones, rooms, codecs and taste, so a split within a source
would measure what the network remembers of the source. A user's groups are placed by the manifest's
column ``split``, or else by a hash of the group's name.

The law: every group is in one split. What would break it is refused by name.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Protocol

from airsift.errors import ConfigError
from model.corpus.sources import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from model.corpus.sources import Kind, Origin, Split, StatedSplit

# What a network for speech and music needs in every split, and the classes that provide it.
NEEDED: dict[str, tuple[Kind, ...]] = {
    "speech": ("speech",),
    "music": ("music", "singing"),
    "noise": ("noise",),
}


class Placed(Protocol):
    """What decides a split: an `Item` before the build, or a `Recording` after it."""

    @property
    def source(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def group(self) -> str: ...
    @property
    def origin(self) -> Origin: ...
    @property
    def split(self) -> StatedSplit: ...


def load_splits(path: Path | None = None) -> dict[str, Split]:
    """Read the table of splits.

    Parameters
    ----------
    path : Path, optional
        Two columns, source and split; default: the project's table.

    Returns
    -------
    dict
        Source to split, for `assign_splits`.

    Raises
    ------
    ConfigError
        A split is unknown, or a source is listed twice.
    """
    place = files("model") / "splits.tsv" if path is None else path
    table: dict[str, Split] = {}
    for line in place.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        source, _, name = line.partition("\t")
        match = next((split for split in SPLITS if split == name), None)
        if match is None:
            raise ConfigError(f"split {name!r} of {source!r} must be one of {', '.join(SPLITS)}")
        if source in table:
            raise ConfigError(f"{source!r} is in the table of splits twice: leave one row out")
        table[source] = match
    return table


def hashed_split(group: str) -> Split:
    """Return the split of a user's group by a hash of its name: 70, 15 and 15 % of the groups."""
    draw = hashlib.sha256(group.encode()).digest()[0] / 256
    return "train" if draw < 0.7 else "validation" if draw < 0.85 else "test"


def assign_splits(listed: Iterable[Placed], table: Mapping[str, Split]) -> dict[str, Split]:
    """Assign every group of a corpus to one split.

    Parameters
    ----------
    listed : iterable of Placed
        All items or recordings, in any order.
    table : mapping of str to Split
        From `load_splits`, for sources of the recipe; a source that it does not list is for
        training. A user's recordings with the name of a group of the recipe belong to that group.

    Raises
    ------
    ConfigError
        A group is in two splits, or a user's group is also in a source that is held out.
    """
    # The first source that decides a group, and its split.
    recipe: dict[str, tuple[str, Split]] = {}
    stated: dict[str, tuple[str, Split]] = {}
    own: dict[str, str] = {}
    for each in listed:
        if each.origin == "recipe":
            _place(recipe, each, table.get(each.source, "train"))
            continue
        own.setdefault(each.group, each.source)
        if each.split:
            _place(stated, each, each.split)
    for group, source in own.items():
        if group in recipe:
            _check_shared(group, source, recipe[group], stated.get(group, recipe[group])[1])
    found = {group: hashed_split(group) for group in own}
    return found | {group: split for group, (_, split) in [*stated.items(), *recipe.items()]}


def lacking(listed: Iterable[Placed], where: Mapping[str, Split]) -> dict[Split, list[str]]:
    """Return what each split lacks of speech, music (singing is music too) and noise."""
    there: dict[Split, set[Kind]] = {split: set() for split in SPLITS}
    for each in listed:
        there[where[each.group]].add(each.kind)
    return {
        split: [name for name, kinds in NEEDED.items() if not there[split].intersection(kinds)]
        for split in SPLITS
    }


def _place(found: dict[str, tuple[str, Split]], each: Placed, split: Split) -> None:
    """Note the split of a group, unless it has another one."""
    source, other = found.setdefault(each.group, (each.source, split))
    if other == split:
        return
    way = (
        "place both sources in one split of model/splits.tsv"
        if each.origin == "recipe"
        else "write the same split in all its rows"
    )
    raise ConfigError(
        f"the group {each.group!r} is in two splits, {other} by {source} and {split} by "
        f"{each.source}: {way}"
    )


def _check_shared(group: str, source: str, recipe: tuple[str, Split], stated: Split) -> None:
    """Refuse a user's group that would leave, or reach, a source that is held out."""
    listed, split = recipe
    if split == "train" == stated:
        return
    placed = f", and {source} places it in {stated}" if split != stated else ""
    raise ConfigError(
        f"the group {group!r} of {source} is also in {listed}, which is in {split}{placed}: give "
        f"it another name if it is not the same voice or track, or leave it out of {source}"
    )
