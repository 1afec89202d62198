"""Where the training audio comes from, and which part of it may be used for what.

``sources_debian.tsv.gz`` names every file of every Debian package used, with its class and
group (a voice, a track, or the effects of one game). ``splits.tsv`` says which groups are for
training, validation and test. Both are part of the project; the audio is not.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import subprocess
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from airsift.errors import ConfigError, DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Kind = str  # one of KINDS, or a class of a user's own
Split = Literal["train", "validation", "test"]

KINDS: tuple[Kind, ...] = ("speech", "music", "singing", "noise")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Item:
    """One file of audio and what is known about it.

    Parameters
    ----------
    source : str
        The Debian package or the folder it comes from.
    path : str
        Its path inside the package or the folder.
    kind : Kind
        What one hears in it. Singing is music with a voice in it.
    group : str
        Voice, track or artist: all that must stay in one split.
    """

    source: str
    path: str
    kind: Kind
    group: str


def debian_items() -> list[Item]:
    """Return every file of the Debian packages in the recipe."""
    packed = (files("model") / "sources_debian.tsv.gz").read_bytes()
    rows = csv.DictReader(io.StringIO(gzip.decompress(packed).decode()), delimiter="\t")
    return [
        Item(row["package"], row["path"], checked_kind(row["class"]), row["group"]) for row in rows
    ]


def manifest_items(manifest: Path, known: Sequence[Kind] = KINDS) -> list[Item]:
    """Read a user's own list of files.

    Parameters
    ----------
    manifest : Path
        CSV with the columns path, class and group; paths are relative to its folder.
    known : sequence of str
        The classes that may be in it.

    Raises
    ------
    ConfigError
        It cannot be read, a column is missing or a class is unknown.
    """
    try:
        with manifest.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines)
            found = set(reader.fieldnames or ())
            missing = [name for name in ("path", "class", "group") if name not in found]
            if missing:
                raise ConfigError(
                    f"{manifest} has no column {', '.join(missing)}: a manifest has the "
                    "columns path,class,group"
                )
            rows = list(reader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{manifest} cannot be read: {error}") from error
    return [
        Item(manifest.stem, row["path"], checked_kind(row["class"], known), row["group"])
        for row in rows
    ]


def librispeech_items(folder: Path) -> list[Item]:
    """Read a folder of LibriSpeech utterances: the speaker is the name's first number."""
    return [
        Item("librispeech", path.name, "speech", f"librispeech:{path.name.split('-')[0]}")
        for path in sorted(folder.glob("*-*-*.flac"))
    ]


def song_items(folder: Path) -> list[Item]:
    """Read a folder of songs with singing and its ``index.tsv`` (columns file and artist)."""
    index = folder / "index.tsv"
    try:
        with index.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t"))
        return [
            Item("songs", row["file"], "singing", f"songs:{_slug(row['artist'])}") for row in rows
        ]
    except (OSError, KeyError) as error:
        raise ConfigError(
            f"{index} must list the songs in columns 'file' and 'artist': {error}"
        ) from error


def checked_kind(value: str | None, known: Sequence[Kind] = KINDS) -> Kind:
    """Return the class if it is one of those known, or raise ConfigError."""
    if value is None or value not in known:
        raise ConfigError(f"class={value!r} is unknown: use one of {', '.join(known)}")
    return value


def fetch(package: str, folder: Path) -> Path:
    """Download one Debian package, once, and check its SHA-256.

    Parameters
    ----------
    package : str
        Name; apt's lists must be up to date.
    folder : Path
        Where packages are kept.

    Raises
    ------
    DecodeError
        apt does not know it, cannot download it, or the file is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shown = _run("apt-cache", "show", "--no-all-versions", package)
    facts = dict(line.split(": ", 1) for line in shown.splitlines() if ": " in line)
    sha256 = facts.get("SHA256", "")
    present = package_file(package, folder)
    if present is None or hashlib.sha256(present.read_bytes()).hexdigest() != sha256:
        _run("apt-get", "--quiet", "download", package, cwd=folder)
        present = package_file(package, folder)
    if present is None or hashlib.sha256(present.read_bytes()).hexdigest() != sha256:
        raise DecodeError(f"{package}: its SHA-256 is not the one apt lists: fetch it again")
    return present


def package_file(package: str, folder: Path) -> Path | None:
    """Return a fetched package's file, or None."""
    return next(iter(sorted(folder.glob(f"{package}_*.deb"))), None)


def load_splits(path: Path | None = None) -> dict[str, Split]:
    """Read which groups are for what.

    Parameters
    ----------
    path : Path, optional
        Table of two columns, prefix of a group and split; by default the project's own.

    Returns
    -------
    dict
        Prefix to split. See `split_of` for how it is used.
    """
    place = files("model") / "splits.tsv" if path is None else path
    table: dict[str, Split] = {}
    for line in place.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        prefix, _, name = line.partition("\t")
        match = next((split for split in SPLITS if split == name), None)
        if match is None:
            raise ConfigError(f"split {name!r} of {prefix!r} must be one of {', '.join(SPLITS)}")
        table[prefix] = match
    return table


def split_of(group: str, table: Mapping[str, Split]) -> Split:
    """Return a group's split: that of its longest listed prefix, else by a hash of its name.

    A prefix ends where the group does or at a mark: ``voice:10`` says nothing of ``voice:103``.
    Of groups nobody listed, seven in ten are for training and the rest is halved.
    """
    listed = [
        prefix
        for prefix in table
        if group.startswith(prefix) and not (group.removeprefix(prefix)[:1] or ":").isalnum()
    ]
    if listed:
        return table[max(listed, key=len)]
    draw = hashlib.sha256(group.encode()).digest()[0] / 256
    return "train" if draw < 0.7 else "validation" if draw < 0.85 else "test"


def refuse_overlap(rows: Iterable[tuple[str, str, Split]]) -> None:
    """Refuse splits that are not independent.

    Parameters
    ----------
    rows : iterable of (group, digest, split)
        One row for every recording; the digest is of its samples.

    Raises
    ------
    ConfigError
        A group, or the same recording under two names, is in two splits.
    """
    seen: dict[tuple[str, str], Split] = {}
    for group, digest, split in rows:
        for key in (("group", group), ("recording", digest)):
            if key[1] and seen.setdefault(key, split) != split:
                raise ConfigError(
                    f"{key[0]} {key[1]!r} is in {seen[key]} and in {split}: a {key[0]} may be "
                    "in one split only; change the table of splits"
                )


def _run(*command: str, cwd: Path | None = None) -> str:
    """Run one of apt's commands and return what it prints."""
    words: Sequence[str] = command
    try:
        done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=True)  # noqa: S603 - fixed commands, names from the recipe
    except FileNotFoundError as error:
        raise DecodeError(f"{command[0]} is not there: the recipe needs Debian's apt") from error
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DecodeError(f"{' '.join(command)} failed: {reason}") from error
    return done.stdout


def _slug(name: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())
