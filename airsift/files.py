"""Atomic file writes: a file is complete or absent, also on a full disk or after a kill."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airsift.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file; see `replacing`."""
    with replacing(path) as partial:
        partial.write_bytes(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Do as `atomic`, with one line for an error of the disk.

    Raises
    ------
    ConfigError
        The file cannot be written. What was at `path` before is unchanged.
    """
    try:
        with atomic(path) as partial:
            yield partial
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror or error}): free some space or name "
            "another folder, and start again; what is whole is kept"
        ) from error


@contextmanager
def atomic(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes `path` when the block ends without an error.

    A device or a pipe, as /dev/stdout, is given itself: a rename would put a file in its place. Of
    a link it is what the link names that is replaced.

    Parameters
    ----------
    path : Path
        The file.
    durable : bool
        Whether the file must survive a power cut once the block has ended.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    if path.is_symlink():
        path = path.resolve()
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        if durable:
            _sync(partial)
        partial.replace(path)
        if durable:
            _sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
