"""Finds speech and music in radio and podcasts, and identifies the music.

::

    import airsift

    for segment in airsift.segment("episode.mp3"):
        print(segment.start_s, segment.end_s, segment.label)

The names of `__all__` are stable: they change with a major version. docs/python.md shows them all.
Everything else of this package is the application behind the command ``airsift``. Importing
`airsift` loads none of it: each name loads what it needs when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airsift.api.results import Match as Match
    from airsift.api.results import Segment as Segment
    from airsift.api.results import Segments as Segments
    from airsift.errors import AirsiftError as AirsiftError

__version__ = "0.1.0"

# Where each public name is.
_HOMES = {
    "AirsiftError": "airsift.errors",
    "Match": "airsift.api.results",
    "Segment": "airsift.api.results",
    "Segments": "airsift.api.results",
}
__all__ = ["AirsiftError", "Match", "Segment", "Segments", "__version__"]


def __getattr__(name: str) -> object:
    """Load a public name, when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'airsift' has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
