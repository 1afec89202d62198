from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from airsift import files
from airsift.errors import ConfigError
from model.corpus import decoding, feature_store, recordings
from model.corpus.sources import Item


def full(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_is_interrupted_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.write_whole(path, b"old")

    def interrupted() -> None:
        with files.replacing(path) as partial:
            partial.write_bytes(b"half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(ConfigError, match=r"a\.txt cannot be written \(No space") as caught:
            files.write_whole(tmp_path / "a.txt", b"new")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_cache_on_a_full_disk_is_not_taken_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The samples fit, their index does not: the source is built again, not used."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.raw").write_bytes(b"")
    monkeypatch.setattr(decoding, "decode", lambda *_, **__: np.ones(8000, np.int16))
    job = recordings.Job("mine", [Item("mine", "x.raw", "speech", "anna")], tmp_path / "in")
    honest = Path.write_bytes
    monkeypatch.setattr(
        Path, "write_bytes",
        lambda path, data: full() if ".json" in path.name else honest(path, data),
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"mine\.json cannot be written"):
        recordings.build_source(job, tmp_path)
    with pytest.raises(ConfigError, match="airsift corpus build"):
        recordings.read_index(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", honest)
    assert recordings.build_source(job, tmp_path) == recordings.Built(0, [], 0, 1)
    assert [each.group for each in recordings.read_index(tmp_path)] == ["anna"]
    assert not list(tmp_path.rglob("*.partial"))


def test_a_store_on_a_full_disk_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where an older store was there: its index would be of other columns."""
    no_tags = np.zeros((0, 0), np.uint8)
    columns = np.zeros((100, 144), np.float16)
    part = feature_store.Part(columns, np.ones((100, 2), np.float16), no_tags)
    rows = [feature_store.TakeRow("a:1", "speech", 0, 100)]
    feature_store.write_store(tmp_path, "train", [part], rows, "key")
    stored = feature_store.open_store(tmp_path, "train", "key")
    assert stored.takes == rows
    assert stored.columns.shape == (100, 144)
    for failing in ("write_array_header_1_0", "save"):
        with monkeypatch.context() as patched:
            patched.setattr(np if failing == "save" else np.lib.format, failing, full)
            with pytest.raises(ConfigError, match="No space left"):
                feature_store.write_store(tmp_path, "train", [part], rows, "key")
        with pytest.raises(ConfigError, match="airsift corpus build"):
            feature_store.open_store(tmp_path, "train", "key")
        assert not list(tmp_path.glob("*.partial"))
        feature_store.write_store(tmp_path, "train", [part], rows, "key")


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    """Who may write to /dev would else put a file in place of a device."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        files.write_whole(path, b"new")
        assert os.read(reader, 9) == b"new"
    finally:
        os.close(reader)
    assert path.is_fifo()


def test_a_link_stays_one(tmp_path: Path) -> None:
    path, link = tmp_path / "a.txt", tmp_path / "link"
    link.symlink_to(path)
    files.write_whole(link, b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
