"""The reference of the Python interface: the public names, for mkdocstrings to fill in."""

from __future__ import annotations

import airsift


def markdown() -> str:
    """Return a section for each public name; functions come first, then classes."""
    names = [name for name in airsift.__all__ if not name.startswith("__")]
    names.sort(key=lambda name: (name[0].isupper(), name))
    return "\n".join(f"::: {getattr(airsift, name).__module__}.{name}\n" for name in names)
