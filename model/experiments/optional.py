"""Packages of the extra `experiments`, with one line where one is missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from airsift.errors import ConfigError


def needed(package: str, purpose: str) -> Any:
    """Import a package.

    Parameters
    ----------
    package : str
        Its name, as it is imported.
    purpose : str
        What needs it.

    Raises
    ------
    ConfigError
        It is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"{purpose} needs {package}: `pip install 'airsift[experiments]'` brings it"
        ) from error
