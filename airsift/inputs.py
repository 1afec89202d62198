"""A recording to open: a file, standard input, or a file at a web address."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airsift.config import Config
    from stream.runner import Stop
    from stream.sources.base import Recording

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_address(name: str) -> bool:
    """Return whether an input is a web address; a file of such a name needs ``./`` in front."""
    return bool(_SCHEME.match(name))


def open_input(name: str, config: Config, stop: Stop, track: str | None = None) -> Recording:
    """Open one file; its station is the given name, for an address without login and query.

    A name that begins with a scheme and ``://`` is an address; a file of that name needs ``./`` in
    front.

    Raises
    ------
    AirsiftError
        It cannot be opened.
    """
    if is_address(name):
        from airsift.url_file import UrlFile

        return UrlFile(name, config, stop, track)
    from stream.sources.file import FileSource

    path = Path(name)
    return FileSource(path, str(path), config.file, track=track)


def label_of(name: str) -> str:
    """Return the name of an input for messages and rows, without an address's login and query."""
    if not is_address(name):
        return str(Path(name))
    from stream.sources.web_address import public_name

    return public_name(name)
