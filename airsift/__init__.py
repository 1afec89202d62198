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
from importlib.util import find_spec
from os.path import dirname
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airsift.api.catalogue import Catalogue as Catalogue
    from airsift.api.catalogue import Track as Track
    from airsift.api.classifying import Window as Window
    from airsift.api.classifying import Windows as Windows
    from airsift.api.classifying import classify as classify
    from airsift.api.results import Match as Match
    from airsift.api.results import Segment as Segment
    from airsift.api.results import Segments as Segments
    from airsift.api.segmenting import segment as segment
    from airsift.api.streaming import Stream as Stream
    from airsift.errors import AirsiftError as AirsiftError

__version__ = "0.2.0"

# Where each public name is.
_HOMES = {
    "AirsiftError": "airsift.errors",
    "Catalogue": "airsift.api.catalogue",
    "Match": "airsift.api.results",
    "Segment": "airsift.api.results",
    "Segments": "airsift.api.results",
    "Stream": "airsift.api.streaming",
    "Track": "airsift.api.catalogue",
    "Window": "airsift.api.classifying",
    "Windows": "airsift.api.classifying",
    "classify": "airsift.api.classifying",
    "segment": "airsift.api.segmenting",
}
__all__ = [
    "AirsiftError",
    "Catalogue",
    "Match",
    "Segment",
    "Segments",
    "Stream",
    "Track",
    "Window",
    "Windows",
    "__version__",
    "classify",
    "segment",
]


def __getattr__(name: str) -> object:
    """Load a public name, when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'airsift' has no attribute {name!r}")
    _check_packages()
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def _check_packages() -> None:
    """Refuse to go on where a program's own ``model.py``, say, stands before our package.

    The command line puts its packages first; a library must leave the order of a program alone.
    """
    root = dirname(dirname(__file__))  # noqa: PTH120  # pathlib takes longer than all else here
    for name in ("fingerprint", "model", "stream"):
        try:
            spec = find_spec(name)
        except ValueError:  # a module that was made without a file
            spec = None
        found = (spec and spec.origin) or "no file of that name"
        if dirname(dirname(found)) != root:  # noqa: PTH120
            raise ImportError(
                f"airsift's package {name!r} is hidden by {found}: rename that, or run the program "
                "from another folder"
            )


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
