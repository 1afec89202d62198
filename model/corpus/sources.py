"""The lists of audio files, and the assignment of their groups to splits.

``sources_debian.tsv.gz`` lists every file of every Debian package used, with its class, its group
(a voice, a track, or the effects of one game) and its reader. ``splits.tsv`` assigns these groups
to training, validation and test. The project ships both, but not the audio. A group of a user's own
files is assigned by a hash of its name; names of groups and files have no other meaning.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import subprocess
import unicodedata
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from airsift.errors import ConfigError, DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Kind = str  # one of KINDS, or a class of the user
Split = Literal["train", "validation", "test"]
Origin = Literal["recipe", "own", "synthetic"]
Reader = Literal["file", "sky", "queen", "soundfont"]

KINDS: tuple[Kind, ...] = ("speech", "music", "singing", "noise")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
# Names of sources that are not packages; a manifest of the same name is renamed.
LIBRISPEECH, SONGS = "librispeech", "songs"


@dataclass(frozen=True, slots=True)
class Item:
    """One audio file and its metadata.

    Parameters
    ----------
    source : str
        The Debian package or the folder it comes from.
    path : str
        Its path inside the package or the folder.
    kind : Kind
        Its class. Singing is music with a voice.
    group : str
        Voice, track or artist: a group is in one split only.
    origin : Origin
        'recipe' for files that this module lists, 'own' for a user's files. The project's tables
        of splits and voices apply to groups of the recipe only.
    reader : Reader
        How the recordings are extracted; 'file': decoded by FFmpeg.
    cast : bool
        Whether the group has many voices.
    licence : str
        As stated in the list; may be empty.
    """

    source: str
    path: str
    kind: Kind
    group: str
    origin: Origin = "own"
    reader: Reader = "file"
    cast: bool = False
    licence: str = ""


def debian_items() -> list[Item]:
    """Return every file of the Debian packages in the recipe."""
    packed = (files("model") / "sources_debian.tsv.gz").read_bytes()
    rows = csv.DictReader(io.StringIO(gzip.decompress(packed).decode()), delimiter="\t")
    readers = {name: name for name in get_args(Reader)} | {"": "file"}
    return [
        Item(
            row["package"], row["path"], checked_kind(row["class"]), row["group"], "recipe",
            readers[row["reader"]], row["cast"] == "1",
        )
        for row in rows
    ]  # fmt: skip


def manifest_items(manifest: Path, known: Sequence[Kind] = KINDS) -> list[Item]:
    """Read a user's own list of files.

    Parameters
    ----------
    manifest : Path
        CSV with the columns path, class, group and optionally licence; paths are relative to
        its folder. Values are stripped, and names of groups are normalised (NFC).
    known : sequence of str
        The allowed classes.

    Raises
    ------
    ConfigError
        The file cannot be read, a column is missing, a class is unknown, a row has no path or
        group, or a path has two classes or groups.
    """
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            found = set(reader.fieldnames or ())
            missing = [name for name in ("path", "class", "group") if name not in found]
            if missing:
                raise ConfigError(
                    f"{manifest} has no column {', '.join(missing)}: a manifest has the "
                    "columns path,class,group"
                )
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{manifest} cannot be read: {error}") from error
    items: dict[str, Item] = {}
    for line, row in rows:
        item = _listed(manifest, line, row, known)
        if items.setdefault(item.path, item) != item:
            raise ConfigError(
                f"{manifest}, line {line}: {item.path!r} is there twice and not the same: "
                "leave one of the rows out"
            )
    return list(items.values())


def _listed(
    manifest: Path, line: int, row: dict[str | None, str | None], known: Sequence[Kind]
) -> Item:
    """Parse one row of a manifest."""
    path, kind, group, licence = (
        (row.get(name) or "").strip() for name in ("path", "class", "group", "licence")
    )
    for name, value in (("path", path), ("group", group)):
        if not value:
            raise ConfigError(f"{manifest}, line {line} has no {name}: write path,class,group")
    try:
        checked_kind(kind, known)
    except ConfigError as error:
        raise ConfigError(f"{manifest}, line {line}: {error}") from error
    return Item(
        manifest.stem, path, kind, unicodedata.normalize("NFC", group), licence=licence
    )  # fmt: skip


def librispeech_items(folder: Path) -> list[Item]:
    """List LibriSpeech utterances; the first number of a file name is the speaker."""
    return [
        Item(LIBRISPEECH, path.name, "speech", f"{LIBRISPEECH}:{path.name.split('-')[0]}", "recipe")
        for path in sorted(folder.glob("*-*-*.flac"))
    ]


def song_items(folder: Path) -> list[Item]:
    """List a folder of songs by its ``index.tsv``: columns file, artist, optionally licence."""
    index = folder / "index.tsv"
    try:
        with index.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t"))
        return [
            Item(
                SONGS, row["file"], "singing", f"{SONGS}:{_slug(row['artist'])}", "recipe",
                licence=(row.get("licence") or "").strip(),
            )
            for row in rows
        ]  # fmt: skip
    except (OSError, KeyError) as error:
        raise ConfigError(
            f"{index} must list the songs in columns 'file' and 'artist': {error}"
        ) from error


def checked_kind(value: str | None, known: Sequence[Kind] = KINDS) -> Kind:
    """Return the class if it is known, or raise ConfigError."""
    if value is None or value not in known:
        raise ConfigError(f"class={value!r} is unknown: use one of {', '.join(known)}")
    return value


def fetch(package: str, folder: Path) -> Path:
    """Download one Debian package unless it is there, and check its SHA-256.

    Parameters
    ----------
    package : str
        Name; apt's lists must be up to date.
    folder : Path
        Folder of the packages.

    Raises
    ------
    DecodeError
        apt does not know the package or cannot download it, or the file is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shown = _run("apt-cache", "show", "--no-all-versions", package)
    facts = dict(line.split(": ", 1) for line in shown.splitlines() if ": " in line)
    sha256 = facts.get("SHA256", "")
    present = _with_hash(package, folder, sha256)
    if present is None:
        _run("apt-get", "--quiet", "download", package, cwd=folder)
        present = _with_hash(package, folder, sha256)
    if present is None:
        raise DecodeError(f"{package}: its SHA-256 is not the one apt lists: fetch it again")
    for other in folder.glob(f"{package}_*.deb"):
        if other != present:
            other.unlink()  # an older version
    return present


def _with_hash(package: str, folder: Path, sha256: str) -> Path | None:
    """Return the file of a package with this SHA-256, of any version."""
    for file in sorted(folder.glob(f"{package}_*.deb")):
        if hashlib.sha256(file.read_bytes()).hexdigest() == sha256:
            return file
    return None


def package_file(package: str, folder: Path) -> Path | None:
    """Return the file of a downloaded package, or None."""
    return next(iter(sorted(folder.glob(f"{package}_*.deb"))), None)


def load_splits(path: Path | None = None) -> dict[str, Split]:
    """Read the table of splits.

    Parameters
    ----------
    path : Path, optional
        Two columns, prefix of a group and split; default: the project's table.

    Returns
    -------
    dict
        Prefix to split, for `split_of`.
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
    """Return a group's split: by its longest listed prefix, else by a hash of its name.

    A prefix ends at the end of the name or at a mark: ``voice:10`` does not match ``voice:103``.
    Of unlisted groups 70 % are for training, 15 % for validation and 15 % for test.
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


def assign_splits(
    groups: Iterable[tuple[str, Origin]], table: Mapping[str, Split]
) -> dict[str, Split]:
    """Assign every group of a corpus to one split.

    Parameters
    ----------
    groups : iterable of (group, origin)
        A pair for each recording, in any order.
    table : mapping of str to Split
        From `load_splits`, for groups of the recipe. A user's recordings with the name of a
        group of the recipe belong to that group.
    """
    origins: dict[str, Origin] = {}
    for group, origin in groups:
        if origin == "recipe" or group not in origins:
            origins[group] = origin
    return {
        group: split_of(group, table if origin == "recipe" else {})
        for group, origin in origins.items()
    }


def _run(*command: str, cwd: Path | None = None) -> str:
    """Run one of apt's commands and return its output."""
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
