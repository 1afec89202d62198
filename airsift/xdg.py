"""The user's folders, where the XDG Base Directory Specification puts them.

============  =========================  ====================
what          variable                   where it is not set
============  =========================  ====================
settings      ``XDG_CONFIG_HOME``        ``~/.config``
cache         ``XDG_CACHE_HOME``         ``~/.cache``
============  =========================  ====================

In each, airsift has the folder ``airsift``. Everything else is where the user says, by default in
the working directory: catalogues, histories and corpora are the user's files, not airsift's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from airsift.errors import ConfigError

_NAME = "airsift"
USER_FILE = "airsift.toml"
# Programs that make backups leave out a folder with this file: https://bford.info/cachedir/
_TAG_FILE = "CACHEDIR.TAG"
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Made again by airsift where it is missing.\n"


def user_config(environ: Mapping[str, str] | None = None) -> Path:
    """Return where the user's own configuration file is, if there is one.

    Parameters
    ----------
    environ : mapping, optional
        Variables; default: this process's.

    Raises
    ------
    ConfigError
        Neither ``XDG_CONFIG_HOME`` nor a home directory is known.
    """
    return _base("XDG_CONFIG_HOME", ".config", environ) / _NAME / USER_FILE


def cache_folder(name: str = "", environ: Mapping[str, str] | None = None) -> Path:
    """Return a folder for what can be fetched or computed again; make it if it is missing.

    Only its owner may read it. Whoever deletes it loses time, and nothing else.

    Parameters
    ----------
    name : str
        Folder within the cache, as ``"feeds"``; the whole cache if empty.
    environ : mapping, optional
        Variables; default: this process's.

    Raises
    ------
    ConfigError
        Neither ``XDG_CACHE_HOME`` nor a home directory is known, or the folder cannot be made.
    """
    root = cache_home(environ)
    folder = root / name
    try:
        for each in (root.parent, root, folder):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder}: the cache cannot be made ({error.strerror}); set XDG_CACHE_HOME to a "
            "folder that you may write to"
        ) from error
    with suppress(OSError):  # a file system that is full or read-only still has the cache
        if not (root / _TAG_FILE).exists():
            (root / _TAG_FILE).write_text(_TAG, encoding="utf-8")
    return folder


def cache_home(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of airsift's cache, which need not be there.

    Raises
    ------
    ConfigError
        Neither ``XDG_CACHE_HOME`` nor a home directory is known.
    """
    return _base("XDG_CACHE_HOME", ".cache", environ) / _NAME


def _base(variable: str, default: str, environ: Mapping[str, str] | None) -> Path:
    """Return a base folder; the specification says that a relative one is to be ignored."""
    variables = os.environ if environ is None else environ
    if (named := Path(variables.get(variable, ""))).is_absolute():
        return named
    if (home := Path(variables.get("HOME", ""))).is_absolute():
        return home / default
    try:
        return Path.home() / default
    except RuntimeError as error:
        raise ConfigError(
            f"{variable} is not set, and this user has no home directory; set {variable} to a "
            "folder with an absolute path"
        ) from error
