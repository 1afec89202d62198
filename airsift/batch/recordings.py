"""The recordings that a command line names: files, addresses, folders and patterns, one by one."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.cli.folders import Found, iter_files
from airsift.inputs import is_address, label_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Item:
    """A recording to process.

    Parameters
    ----------
    name : str
        As `airsift.inputs.open_input` takes it.
    below : str
        Its path below the folder that was named, or its own name: where its result goes.
    """

    name: str
    below: str


def find_recordings(
    names: Sequence[str], complain: Callable[[str, bool], object]
) -> Iterator[Item]:
    """Yield the recordings that are named, as they are found.

    A folder stands for the audio files in it and below it. A pattern with ``*``, ``?`` or ``[]``
    that is no file's name, and ``**`` for folders at any depth, stands for what it matches: a shell
    expands patterns only if they are not quoted, and not for ``**``.

    Parameters
    ----------
    names : sequence of str
        The arguments; - is standard input.
    complain : callable
        Is given a line for each problem, and whether it is a failure.
    """
    seen = set[tuple[int, int]]()
    for name in names:
        if name == "-":
            yield Item(name, "stdin")
        elif is_address(name):
            yield Item(name, _last_part(label_of(name)))
        elif Path(name).is_dir():
            yield from _in_folder(Path(name), Path(name), seen, complain)
        elif glob.has_magic(name) and not Path(name).exists():
            yield from _matches(name, seen, complain)
        else:
            yield Item(name, Path(name).name)


def _in_folder(
    folder: Path,
    start: Path,
    seen: set[tuple[int, int]],
    complain: Callable[[str, bool], object],
) -> Iterator[Item]:
    found = Found()
    for path in iter_files(folder, found, seen):
        yield Item(str(path), str(path.relative_to(start)))
    for problem in found.problems:
        complain(problem, found.failed > 0)


def _matches(
    pattern: str, seen: set[tuple[int, int]], complain: Callable[[str, bool], object]
) -> Iterator[Item]:
    fixed = []
    for part in Path(pattern).parts:
        if glob.has_magic(part):
            break
        fixed.append(part)
    start, is_empty = Path(*fixed), True
    for name in sorted(glob.iglob(pattern, recursive=True)):  # noqa: PTH207  # Path's raises on "/*"
        is_empty = False
        path = Path(name)
        if path.is_dir():
            if "**" not in pattern:  # it matches the files in its folders, too
                yield from _in_folder(path, start, seen, complain)
        else:
            yield Item(str(path), str(path.relative_to(start)))
    if is_empty:
        complain(f"{pattern}: nothing matches this pattern; check the folder it begins with", True)


def _last_part(address: str) -> str:
    """Return the name of a file at an address; the host's where it has none."""
    parts = [part for part in address.partition("://")[2].split("/") if part not in ("", ".", "..")]
    return parts[-1] if parts else "address"
