"""What callers may give as ``config=``, as a configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union, cast

from airsift.config import Config, load
from airsift.errors import ConfigError

if TYPE_CHECKING:
    from airsift.api.catalogue import Catalogue
    from airsift.json_types import Json

Settings: TypeAlias = Union[str, "os.PathLike[str]", Mapping[str, object], Config, None]


def config_of(
    settings: Settings, catalogue: str | os.PathLike[str] | Catalogue | None = None
) -> Config:
    """Return the configuration that a caller means.

    Parameters
    ----------
    settings : path or mapping, optional
        A TOML file; or values that differ from the defaults, nested or by dotted key, as
        ``{"smoothing.min_segment_s": 2}``. The process's ``AIRSIFT_`` variables count as they do
        for the command line; values of a mapping win over them.
    catalogue : path or Catalogue, optional
        The catalogue that identifies the music; wins over `settings`.

    Raises
    ------
    ConfigError
        A key is unknown, a value is out of range, or the file cannot be read.
    """
    folder = None if catalogue is None else _folder(catalogue)
    if isinstance(settings, Config):
        if folder is None:
            return settings
        identify = settings.identify.model_copy(update={"catalogue": folder})
        return settings.model_copy(update={"identify": identify})
    values: dict[str, object] = {}
    path = None
    if isinstance(settings, Mapping):
        if wrong := next((key for key in settings if not isinstance(key, str)), None):
            raise ConfigError(f"config has the key {wrong!r}: keys are texts, as model.threads")
        values = {key: _plain(value) for key, value in settings.items()}
    elif isinstance(settings, str | os.PathLike):
        path = Path(settings)
    elif settings is not None:
        raise ConfigError(
            f"config={settings!r} must be the path of a TOML file, or a dict such as "
            "{'smoothing.min_segment_s': 2}"
        )
    if folder is not None:
        values["identify.catalogue"] = folder
    return load(path, values=cast("Mapping[str, Json]", values)).config


def _plain(value: object) -> object:
    """Return a value of a mapping with paths as text."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _folder(catalogue: str | os.PathLike[str] | Catalogue) -> str:
    if not isinstance(catalogue, str | os.PathLike):
        raise ConfigError(
            f"catalogue={catalogue!r} must be an airsift.Catalogue, or the path of its folder"
        )
    return os.fspath(catalogue)
