"""Files that are whole or not there, also when the disk is full or the program is stopped."""

from __future__ import annotations

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
    """Give a name to write to; what is there in the end becomes `path`.

    Raises
    ------
    ConfigError
        It could not be written. What was at `path` before is as it was.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror or error}): free some space or name "
            "another folder, and start again; what is whole is kept"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
