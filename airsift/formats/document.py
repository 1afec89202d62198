"""JSON: one document for a recording, with its segments, its matches and what made it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from airsift import __version__
from stream.lines import utf8

if TYPE_CHECKING:
    from airsift.api.results import Segments

SCHEMA = "airsift.recording/1"


def document(segments: Segments) -> str:
    """Return the document; control codes and all beyond ASCII are escaped.

    Raises
    ------
    ValueError
        A number is not finite.
    """
    values = {
        "schema": SCHEMA,
        "recording": {
            "name": utf8(segments.name),
            "duration_s": segments.duration_s,
            "warnings": segments.warnings,
        },
        "segments": [asdict(each) for each in segments],
        "labels": [asdict(each) for each in segments.labels],
        "matches": [asdict(each) for each in segments.matches],
        "versions": {"airsift": __version__, **segments.versions},
    }
    return json.dumps(values, indent=1, allow_nan=False) + "\n"
