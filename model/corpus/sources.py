"""The lists of audio files: of the recipe, which the project ships without audio, and a user's.

``sources_debian.tsv.gz`` lists every file of every Debian package used, with its class, its group
(a voice, a track, or the effects of one game) and its reader. Folders of other public audio have an
``index.tsv``. `model.corpus.splits` says which source is for training, validation or test.
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
from model.corpus import categories

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = str  # one of KINDS, or a class of the user
Split = Literal["train", "validation", "test"]
StatedSplit = Literal["train", "validation", "test", ""]
Origin = Literal["recipe", "own", "synthetic"]
Reader = Literal["file", "sky", "queen", "soundfont"]

KINDS: tuple[Kind, ...] = ("speech", "music", "singing", "noise")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
# Sources that are neither packages nor repositories.
LIBRISPEECH, SONGS = "librispeech", "songs"
# The demonstration plays these speakers, so nothing is trained on them.
DEMO_SPEAKERS = ("1098", "3664", "3983", "6367")
# Columns that a list may have, and those with a check, or a meaning of nothing, of their own.
_OPTIONAL = ("licence", "split", "public_source")
_CHECKED = ("class", "kind")


@dataclass(frozen=True, slots=True)
class Item:
    """One audio file and its metadata.

    Parameters
    ----------
    source : str
        Name of the Debian package, public repository, collection or manifest it comes from.
    path : str
        Its path inside the package or the folder.
    kind : Kind
        Its class. Singing is music with a voice.
    group : str
        Voice, track or artist: a group is in one split only.
    origin : Origin
        'recipe' for public audio, 'own' for a user's manifest. The project's tables of splits and
        voices apply to the recipe only.
    reader : Reader
        How the recordings are extracted; 'file': decoded by FFmpeg.
    cast : bool
        Whether the group has many voices.
    licence : str
        As stated in the list; may be empty.
    category : str
        Finer than the class, for reports: see `model.corpus.categories`. Empty if unknown.
    split : StatedSplit
        As stated in a user's manifest; may be empty.
    """

    source: str
    path: str
    kind: Kind
    group: str
    origin: Origin = "own"
    reader: Reader = "file"
    cast: bool = False
    licence: str = ""
    category: str = ""
    split: StatedSplit = ""


def debian_items() -> list[Item]:
    """Return every file of the Debian packages in the recipe."""
    packed = (files("model") / "sources_debian.tsv.gz").read_bytes()
    rows = csv.DictReader(io.StringIO(gzip.decompress(packed).decode()), delimiter="\t")
    readers = {name: name for name in get_args(Reader)} | {"": "file"}
    found = []
    for row in rows:
        package, kind, reader = row["package"], checked_kind(row["class"]), readers[row["reader"]]
        found.append(
            Item(package, row["path"], kind, row["group"], "recipe", reader, row["cast"] == "1",
                 category=categories.of_debian(package, kind, reader))
        )  # fmt: skip
    return found


def manifest_items(manifest: Path, known: Sequence[Kind] = KINDS) -> list[Item]:
    """Read a user's own list of files.

    Parameters
    ----------
    manifest : Path
        CSV with the columns path, class, group and optionally split and licence; paths are
        relative to its folder. Values are stripped, and names of groups are normalised (NFC).
    known : sequence of str
        The allowed classes.

    Raises
    ------
    ConfigError
        The file cannot be read, a column is missing, a class or split is unknown, a row has no
        path or group, or a path has two classes, groups or splits.
    """
    return _items(manifest, ("path", "class", "group"), known)


def collection_items(folder: Path) -> list[Item]:
    """Read the list of a collection of public audio.

    Parameters
    ----------
    folder : Path
        Its folder. ``index.tsv`` in it has the columns path, class, kind, group, source and
        optionally licence; paths are relative to the folder. The source is the public repository
        of a file, the kind is described in `model.corpus.categories`.

    Raises
    ------
    ConfigError
        As for `manifest_items`, or a row has no source.
    """
    return _items(
        folder / "index.tsv", ("path", "class", "kind", "group", "source"), KINDS, public=True
    )


def song_items(folder: Path) -> list[Item]:
    """List a folder of songs with a band by its ``index.tsv``.

    Its columns are file, artist and optionally licence and public_source, the repository.
    """
    rows = _rows(folder / "index.tsv", ("file", "artist"), "\t")
    return [
        Item(
            source_name(row["public_source"] or SONGS), row["file"], "singing",
            f"{SONGS}:{_slug(row['artist'])}", "recipe", licence=row["licence"],
            category=categories.of_song(row["public_source"], row["artist"]),
        )
        for _, row in rows
    ]  # fmt: skip


def librispeech_items(folder: Path) -> list[Item]:
    """List LibriSpeech utterances; the first number of a file name is the speaker."""
    return [
        Item(LIBRISPEECH, path.name, "speech", f"{LIBRISPEECH}:{speaker}", "recipe",
             category=categories.READ_SPEECH)
        for path in sorted(folder.glob("*-*-*.flac"))
        if (speaker := path.name.split("-")[0]) not in DEMO_SPEAKERS
    ]  # fmt: skip


def source_name(public: str) -> str:
    """Return the name of a source: its public name, but safe as the name of a file."""
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in public.strip())
    return f"_{safe.removeprefix('.')}" if safe.startswith(".") else safe


def _items(
    path: Path, columns: Sequence[str], known: Sequence[Kind], *, public: bool = False
) -> list[Item]:
    """Read the items of a manifest or, if `public`, of the index of a collection."""
    items: dict[str, Item] = {}
    for line, row in _rows(path, columns, "\t" if public else ","):
        try:
            item = _item(row, path.stem, known, public=public)
        except ConfigError as error:
            raise ConfigError(f"{path}, line {line}: {error}") from error
        if items.setdefault(item.path, item) != item:
            raise ConfigError(
                f"{path}, line {line}: {item.path!r} is there twice and not the same: "
                "leave one of the rows out"
            )
    return list(items.values())


def _item(row: dict[str, str], manifest: str, known: Sequence[Kind], *, public: bool) -> Item:
    kind, group = checked_kind(row["class"], known), unicodedata.normalize("NFC", row["group"])
    if public:
        return Item(
            source_name(row["source"]), row["path"], kind, group, "recipe",
            licence=row["licence"], category=categories.of_collection(row["kind"]),
        )  # fmt: skip
    return Item(
        manifest, row["path"], kind, group, licence=row["licence"], split=_stated(row["split"])
    )


def _stated(split: str) -> StatedSplit:
    if not split:
        return ""
    match = next((each for each in SPLITS if each == split), None)
    if match is None:
        raise ConfigError(f"split={split!r} is unknown: use one of {', '.join(SPLITS)}, or nothing")
    return match


def _rows(path: Path, columns: Sequence[str], delimiter: str) -> list[tuple[int, dict[str, str]]]:
    """Read line numbers and rows of a table, with empty values for columns that it lacks.

    Raises
    ------
    ConfigError
        The file cannot be read, a column is missing, or a row has no value where there must be one.
    """
    needed = ",".join(columns)
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, delimiter=delimiter)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise ConfigError(
                    f"{path} has no column {', '.join(missing)}: it has the columns {needed}"
                )
            read = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read: {error}; it has the columns {needed}") from error
    rows = []
    for line, row in read:
        stripped = {name: (row.get(name) or "").strip() for name in (*columns, *_OPTIONAL)}
        empty = next((name for name in columns if not stripped[name] and name not in _CHECKED), "")
        if empty:
            raise ConfigError(f"{path}, line {line} has no {empty}: write {needed}")
        rows.append((line, stripped))
    return rows


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
