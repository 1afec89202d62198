"""JAMS, the annotations of music information retrieval, by the library of that name.

https://jams.readthedocs.io: labels, voices and labels of your own are annotations in the namespace
``segment_open``, songs in ``tag_open``; the sandbox of each says which it is.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from airsift import __version__
from airsift.formats.tiers import MUSIC, tiers_of
from airsift.formats.words import name_of, stem_of

if TYPE_CHECKING:
    from airsift.api.results import Segments

_PER_S = 1000


def jams(segments: Segments) -> str:
    """Return a JAMS document, valid by its schema.

    Labels have their scores as confidence, and voices theirs. Songs have none; the
    matcher's scores stand in the sandbox, with the songs' metadata.
    """
    from jams import JAMS, Annotation

    found = JAMS()
    found.file_metadata.title = stem_of(segments)
    found.file_metadata.duration = segments.duration_s
    found.sandbox.update(name=name_of(segments), versions={"airsift": __version__})
    for tier in tiers_of(segments, _PER_S):
        namespace = "tag_open" if tier.name == MUSIC else "segment_open"
        annotation = Annotation(namespace, time=0, duration=segments.duration_s)
        annotation.annotation_metadata.annotation_tools = f"airsift {__version__}"
        annotation.annotation_metadata.data_source = "program"
        annotation.sandbox.update(content=tier.name)
        if tier.name == MUSIC:
            annotation.sandbox.update(matches=[asdict(each.item.of) for each in tier.intervals])
        for each in tier.intervals:
            annotation.append(
                time=each.start / _PER_S,
                duration=(each.end - each.start) / _PER_S,
                value=each.item.text,
                confidence=each.item.confidence,
            )
        found.annotations.append(annotation)
    return str(found.dumps(indent=1)) + "\n"
