"""An incremental build after any edits equals a full build, byte for byte."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import ConfigError
from model.corpus import cache, decoding, feature_store, splits, takes
from model.corpus import recordings as corpus
from model.corpus import sources as recipe
from stream.testing import write_wav
from tests.examples import examples

RATE = 16_000
SPAWN = multiprocessing.get_context("spawn")
NAMES = ("a.wav", "program one.wav", "sub/b.wav", "sky.dsk", "x.sf2", "c.wav")
GROUPS = ("anna", "program", "scratch", "made-hiss:1", "librispeech:26", "anna:cast")


def audio(seed: int) -> bytes:
    """Return half a second to a second of noise as a WAV file."""
    random = np.random.default_rng(seed)
    samples = random.integers(-3000, 3000, RATE // 2 + 100 * seed, dtype=np.int16)
    path = Path(os.environ["PYTEST_TMP"]) / "made.wav"
    write_wav(path, samples / 32_767, RATE)
    return path.read_bytes()


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_TMP", str(tmp_path))


def build(manifest: Path, folder: Path) -> list[str]:
    lines: list[str] = []
    with cache.building(folder, lines.append):
        corpus.build(
            [corpus.manifest_job(manifest, recipe.manifest_items(manifest))], folder, lines.append
        )
    return lines


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


class Listed:
    """A user's folder of recordings, and a manifest of some of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[str, tuple[str, str]] = {}
        self.manifest = folder / "mine.csv"
        (folder / "sub").mkdir(parents=True, exist_ok=True)
        self.write()

    def write(self) -> None:
        lines = [f"{path},{kind},{group}" for path, (kind, group) in self.rows.items()]
        self.manifest.write_text("\n".join(["path,class,group", *lines]) + "\n")

    def edit(self, what: str, name: str, other: str, group: str, seed: int) -> None:
        """Change files or rows as people do; what cannot be done is left."""
        file, target = self.folder / name, self.folder / other
        row = self.rows.get(name, ("speech", group))
        match what:
            case "add" | "replace":
                file.write_bytes(audio(seed))
                self.rows[name] = row
            case "touch" if file.exists():
                os.utime(file, ns=(seed * 10**9, seed * 10**9))
            case "same size, same time" if file.exists():
                before = file.stat()
                data = bytearray(file.read_bytes())
                data[-1] ^= 1
                file.write_bytes(bytes(data))
                os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
            case "damage":
                file.write_bytes(b"RIFF and then nothing")
            case "delete":
                file.unlink(missing_ok=True)
            case "move" if file.exists():
                file.replace(target)
                self.rows[other] = self.rows.pop(name, row)
            case "swap" if file.exists() and target.exists():
                one, two = file.read_bytes(), target.read_bytes()
                file.write_bytes(two)
                target.write_bytes(one)
            case "regroup":
                self.rows[name] = (row[0], group)
            case "reclass":
                self.rows[name] = (("speech", "music", "noise")[seed % 3], row[1])
            case "drop":
                self.rows.pop(name, None)
            case "reorder":
                self.rows = dict(reversed(self.rows.items()))
        self.write()


EDITS = st.tuples(
    st.sampled_from(
        ["add", "add", "replace", "touch", "same size, same time", "damage", "delete", "move",
         "swap", "regroup", "reclass", "drop", "reorder", "build", "interrupt", "damaged cache"]
    ),
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
    st.sampled_from(GROUPS),
    st.integers(0, 5),
)  # fmt: skip


class Interruption(BaseException):
    """As a signal: nothing of ours may catch it."""


@pytest.mark.slow
@examples(100)
@given(st.lists(EDITS, max_size=14))
def test_a_build_after_any_edits_is_a_build_from_nothing(edits: list) -> None:
    place = Path(os.environ["PYTEST_TMP"])
    for each in ("audio", "built", "anew"):
        shutil.rmtree(place / each, ignore_errors=True)
    mine = Listed(place / "audio")
    for what, name, other, group, seed in edits:
        if what == "build":
            build(mine.manifest, place / "built")
        elif what == "interrupt":
            with interrupted(after=seed), suppress(Interruption):
                build(mine.manifest, place / "built")
        elif what == "damaged cache":
            for array in (place / "built").rglob("*.npy"):
                array.write_bytes(array.read_bytes()[:-7])
        else:
            mine.edit(what, name, other, group, seed)
    build(mine.manifest, place / "built")
    build(mine.manifest, place / "anew")
    assert contents(place / "built") == contents(place / "anew")


class interrupted:  # noqa: N801 - used as a context manager
    """Stop everything at some write of a file, half of which is then on the disk."""

    def __init__(self, after: int) -> None:
        self._left = after

    def __enter__(self) -> None:
        self._honest = Path.replace

        def replace(path: Path, target: Path) -> Path:
            self._left -= 1
            if self._left < 0:
                raise Interruption
            return self._honest(path, target)

        Path.replace = replace  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        Path.replace = self._honest  # type: ignore[method-assign]


@pytest.fixture
def mine(tmp_path: Path) -> Listed:
    made = Listed(tmp_path / "audio")
    for seed, name in enumerate(("a.wav", "sub/b.wav", "c.wav")):
        made.edit("add", name, "", f"group {seed}", seed)
    return made


def test_only_changed_recordings_are_decoded_and_logged(
    mine: Listed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    honest = decoding.decode

    def noted(data: bytes, name: str, **given: float) -> np.ndarray:
        decoded.append(name)
        return honest(data, name, **given)

    monkeypatch.setattr(decoding, "decode", noted)
    assert build(mine.manifest, tmp_path / "c") == ["[1/1] mine: 0.0 min; 3 decoded"]
    mine.edit("touch", "a.wav", "", "", 4)
    mine.edit("move", "c.wav", "d.wav", "", 0)
    assert build(mine.manifest, tmp_path / "c") == ["[1/1] mine: 0.0 min; 3 files reused"]
    mine.edit("regroup", "a.wav", "", "somebody else", 0)
    mine.edit("replace", "sub/b.wav", "", "", 9)
    decoded.clear()
    lines = build(mine.manifest, tmp_path / "c")
    assert lines == ["[1/1] mine: 0.0 min; 2 files reused, 1 decoded"]
    assert decoded == ["sub/b.wav"]
    groups = {each.path: each.group for each in corpus.read_index(tmp_path / "c")}
    assert groups == {"a.wav": "somebody else", "sub/b.wav": "group 1", "d.wav": "group 2"}


@pytest.mark.parametrize(
    "line",
    [
        "import PACKAGE.deep.below",
        "from PACKAGE import deep",
        "from PACKAGE.deep import below",
        "from PACKAGE.deep import (below as other)",
        "from PACKAGE.deep.below import W",
    ],
)
def test_the_version_of_code_follows_every_way_to_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    # A name of its own: Python keeps a package that it has imported.
    package = f"versioned{zlib.crc32(line.encode())}"
    line = line.replace("PACKAGE", package)
    deep = tmp_path / package / "deep"
    deep.mkdir(parents=True)
    (tmp_path / package / "__init__.py").write_text("")
    (deep / "__init__.py").write_text(f"from {package}.deep.below import W\n")
    (deep / "below.py").write_text("W = 1\n")
    (tmp_path / package / "first.py").write_text(f"{line}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    versions = []
    for value in (1, 2):
        (deep / "below.py").write_text(f"W = {value}\n")
        cache.code_version.cache_clear()
        versions.append(cache.code_version(f"{package}.first"))
    assert versions[0] != versions[1]
    cache.code_version.cache_clear()


@pytest.mark.parametrize("what", ["code", "libraries"])
def test_another_version_decodes_anew(
    mine: Listed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    build(mine.manifest, tmp_path / "c")
    name = {"code": "code_version", "libraries": "libraries"}[what]
    changed = {"code": "other code", "libraries": {"av": "0"}}[what]
    monkeypatch.setattr(cache, name, lambda *_: changed)
    assert build(mine.manifest, tmp_path / "c") == ["[1/1] mine: 0.0 min; 3 decoded"]


def test_the_version_of_code_is_what_it_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It includes imported code, but no comments and no code for type checkers."""
    package = tmp_path / "versioned"
    package.mkdir()
    (package / "__init__.py").write_text("")
    first = '"""Says."""\nfrom versioned import second\nX = second.Y  # why\n'
    (package / "first.py").write_text(first)
    (package / "second.py").write_text("Y = 1\n")
    (package / "third.py").write_text("Z = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def version() -> str:
        cache.code_version.cache_clear()
        return cache.code_version("versioned.first")

    before = version()
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from versioned import third\n"
    (package / "first.py").write_text(first.replace("why", "because").replace("Says", "Tells"))
    assert version() == before
    (package / "first.py").write_text(typed + first)
    with_type, _ = version(), (package / "third.py").write_text("Z = 2\n")
    assert version() == with_type != before
    (package / "second.py").write_text("Y = 2\n")
    assert version() != with_type
    cache.code_version.cache_clear()


def test_sources_that_a_build_does_not_name_are_gone(mine: Listed, tmp_path: Path) -> None:
    other = mine.folder / "other.csv"
    other.write_text("path,class,group\na.wav,noise,street\n")
    build(other, tmp_path / "c")
    lines = build(mine.manifest, tmp_path / "c")
    assert "other: removed, this build does not name it" in lines
    build(mine.manifest, tmp_path / "anew")
    assert contents(tmp_path / "c") == contents(tmp_path / "anew")


def test_an_unfinished_build_is_not_read(mine: Listed, tmp_path: Path) -> None:
    build(mine.manifest, tmp_path / "c")
    mine.edit("replace", "a.wav", "", "", 9)
    with interrupted(after=0), pytest.raises(Interruption):
        build(mine.manifest, tmp_path / "c")
    for read in (
        corpus.read_index,
        lambda folder: takes.split_recordings(folder, "test"),
    ):
        with pytest.raises(ConfigError, match="was interrupted: wait for it, or run the same"):
            read(tmp_path / "c")
    build(mine.manifest, tmp_path / "c")
    assert len(corpus.read_index(tmp_path / "c")) == 3


def test_what_was_read_before_a_build_is_not_mixed_with_what_is_after_it(
    mine: Listed, tmp_path: Path
) -> None:
    build(mine.manifest, tmp_path / "c")
    old = corpus.read_index(tmp_path / "c")[0]
    mine.edit("replace", "a.wav", "", "", 9)
    build(mine.manifest, tmp_path / "c")
    corpus._opened.cache_clear()
    with pytest.raises(ConfigError, match="the corpus was changed meanwhile"):
        corpus.samples_of(tmp_path / "c", old)


def test_two_builds_at_once_are_one_after_the_other(mine: Listed, tmp_path: Path) -> None:
    """The second waits, reports it, and gives the same result."""
    other = mine.folder / "other.csv"
    other.write_text("path,class,group\na.wav,noise,street\n")
    inside, go_on = threading.Event(), threading.Event()
    waiting: list[str] = []

    def second() -> None:
        inside.wait(30)
        with cache.building(tmp_path / "c", lambda line: (waiting.append(line), go_on.set())):
            corpus.build(
                [corpus.manifest_job(other, recipe.manifest_items(other))], tmp_path / "c",
                waiting.append,
            )  # fmt: skip

    thread = threading.Thread(target=second)
    thread.start()
    with cache.building(tmp_path / "c", print):
        inside.set()
        assert go_on.wait(30)
        job = corpus.manifest_job(mine.manifest, recipe.manifest_items(mine.manifest))
        corpus.build([job], tmp_path / "c", print)
    thread.join(30)
    assert waiting[0] == f"another command is building {tmp_path / 'c'}: waiting for it"
    build(other, tmp_path / "anew")
    assert contents(tmp_path / "c") == contents(tmp_path / "anew")


def build_slowly(manifests: list[Path], folder: Path) -> None:
    decoding.decode = lambda *_, **__: time.sleep(600)  # type: ignore[assignment]
    jobs = [corpus.manifest_job(each, recipe.manifest_items(each)) for each in manifests]
    with cache.building(folder, print):
        corpus.build(jobs, folder, print, workers=2)


@pytest.mark.process
def test_a_build_that_is_killed_keeps_nobody_waiting_and_writes_nothing_more(
    mine: Listed, tmp_path: Path
) -> None:
    """Its workers end with it; they hold the lock, and would write into the next build."""
    others = [mine.folder / f"other{number}.csv" for number in range(2)]
    for each in others:
        each.write_text("path,class,group\na.wav,noise,street\n")
    first = SPAWN.Process(target=build_slowly, args=(others, tmp_path / "c"))
    first.start()
    for _ in range(600):
        if len(workers_of(first.pid)) == 2:
            break
        time.sleep(0.1)
    os.kill(first.pid, signal.SIGKILL)
    first.join(30)
    build(mine.manifest, tmp_path / "c")
    build(mine.manifest, tmp_path / "anew")
    assert contents(tmp_path / "c") == contents(tmp_path / "anew")


def workers_of(pid: int | None) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_partial_files_of_one_that_was_killed_are_removed(mine: Listed, tmp_path: Path) -> None:
    (tmp_path / "c" / "audio").mkdir(parents=True)
    (tmp_path / "c" / "audio" / "mine-0123.npy.partial").write_bytes(b"half")
    (tmp_path / "c" / "audio" / "mine-0123.npy").write_bytes(b"of nobody")
    build(mine.manifest, tmp_path / "c")
    build(mine.manifest, tmp_path / "anew")
    assert contents(tmp_path / "c") == contents(tmp_path / "anew")


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], tuple[int, int, bool]]:
    """Compute banks of a column a stream: their keys and files are what this is about."""

    def add(writer: feature_store.StoreWriter, take: takes.Take) -> None:
        row = feature_store.TakeRow(take.group, take.kind, 0, 1, take.source, take.origin)
        writer.rows.append(row._replace(start=len(writer.rows), end=len(writer.rows) + 1))

    def part(writer: feature_store.StoreWriter) -> feature_store.Part:
        count = len(writer.rows)
        return feature_store.Part(
            np.zeros((count, 144), np.float16), np.ones((count, 2), np.float16),
            np.zeros((0, 0), np.uint8),
        )  # fmt: skip

    def of_recordings(folder: Path, part: takes.TakePart, seed: int) -> Iterator[takes.Take]:
        del folder, seed
        for each in part.recordings if part.contents == "source" else ():
            nothing = np.zeros(0, np.float32)
            yield takes.Take(each.group, each.kind, nothing, nothing > 0, each.source, each.origin)

    monkeypatch.setattr(feature_store.StoreWriter, "add", add)
    monkeypatch.setattr(feature_store.StoreWriter, "part", part)
    monkeypatch.setattr(takes, "takes_of_part", of_recordings)
    return lambda folder: feature_store.build_store(folder, "train")


@pytest.mark.slow
def test_columns_are_reused_only_for_the_same_recordings(
    mine: Listed, tmp_path: Path, columns: Callable[[Path], tuple[int, int, bool]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(
        takes, "assign_splits", lambda listed, _: {each.group: "train" for each in listed}
    )
    place = tmp_path / "c"
    build(mine.manifest, place)
    assert columns(place) == (3, 3, False)
    assert columns(place) == (3, 3, True)
    mine.edit("move", "c.wav", "d.wav", "", 0)
    build(mine.manifest, place)
    assert columns(place) == (3, 3, True)
    for edit in ("replace", "regroup", "reclass", "drop"):
        mine.edit(edit, "a.wav", "", f"by {edit}", 7)
        build(mine.manifest, place)
        with pytest.raises(ConfigError, match="are of other recordings or of another version"):
            feature_store.open_training_store(place)
        assert not columns(place)[2], edit
        assert len(list(place.glob("train*"))) == 3
        feature_store.open_training_store(place)


@examples(20)
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(GROUPS)), unique_by=lambda r: r[0])
)
def test_a_users_paths_and_groups_mean_nothing(rows: list[tuple[str, str]]) -> None:
    """Files named like the recipe's archives are files, and groups are those of the manifest."""
    place = Path(os.environ["PYTEST_TMP"])
    shutil.rmtree(place / "named", ignore_errors=True)
    mine = Listed(place / "named" / "audio")
    for seed, (name, group) in enumerate(rows):
        mine.edit("add", name, "", group, seed)
    build(mine.manifest, place / "named" / "c")
    if not rows:
        return
    found = corpus.read_index(place / "named" / "c")
    assert {each.path: each.group for each in found} == dict(rows)
    where = splits.assign_splits(found, splits.load_splits())
    assert where == {group: splits.hashed_split(group) for _, group in rows}
    assert not any(each.cast for each in found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,class,group\na.wav,speech,\n", r"line 2 has no group: write path,class,group"),
        ("path,class,group\na.wav,speech\n", r"line 2 has no group"),
        ("path,class,group\n,speech,x\n", r"line 2 has no path"),
        ("path,class,group\na.wav,talk,x\n", r"line 2: class='talk' is unknown"),
        ("path,class,group\na.wav,speech,x\na.wav,music,x\n", r"line 3: 'a\.wav' is there twice"),
        ("path,class,group\na.wav,speech,x\na.wav,speech,y\n", r"line 3: 'a\.wav' is there twice"),
        (
            "path,class,group,split\na.wav,speech,x,dev\n",
            r"line 2: split='dev' is unknown",
        ),
    ],
)
def test_a_row_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        recipe.manifest_items(tmp_path / "m.csv")


def test_one_group_written_in_several_ways_is_one(tmp_path: Path) -> None:
    text = "\ufeffpath,class,group\na.wav,speech,Ren\u00e9\nb.wav , speech, Rene\u0301 \n"
    (tmp_path / "m.csv").write_text(text, encoding="utf-8")
    items = recipe.manifest_items(tmp_path / "m.csv")
    assert {item.group for item in items} == {"Ren\u00e9"}
    assert [item.path for item in items] == ["a.wav", "b.wav"]
