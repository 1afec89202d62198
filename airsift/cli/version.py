"""``airsift --version``: what is installed, without importing any of it."""

from __future__ import annotations

import platform
from importlib import metadata

from airsift import __version__

BACKENDS = ("onnxruntime", "torch")


def version_lines() -> list[str]:
    """Return the versions of airsift, of what computes, and of the shipped networks."""
    from model.weights import DEFAULT_WEIGHTS, VOICE_WEIGHTS, sha256_of

    computing = ", ".join(f"{name} {version_of(name) or 'not installed'}" for name in BACKENDS)
    weights = ", ".join(
        f"{file.stem} {sha256_of(file)[:12]}" for file in (DEFAULT_WEIGHTS, VOICE_WEIGHTS)
    )
    return [
        f"airsift {__version__}",
        f"Python {platform.python_version()}, {computing}",
        f"networks {weights}",
    ]


def version_of(distribution: str) -> str | None:
    """Return the version of an installed distribution, without importing it; None if it is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
