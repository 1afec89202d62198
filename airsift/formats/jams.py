"""JAMS, the annotations of music information retrieval, by the library of that name.

https://jams.readthedocs.io: labels and voices are in the namespace
``segment_open``, songs in ``tag_open``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airsift import __version__
from airsift.formats.intervals import in_ticks
from airsift.formats.words import label_of, name_of, song_of, stem_of
from stream.lines import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airsift.api.results import Segments

_PER_S = 1000
_Row = tuple[float, float, str, float | None]


def jams(segments: Segments) -> str:
    """Return a JAMS document, valid by its schema.

    Labels have their scores as confidence, and voices theirs. Songs have none, because the
    matcher's scores are no probabilities; they stand in the sandbox, with the songs' metadata.
    """
    from jams import JAMS, Annotation

    found = JAMS()
    found.file_metadata.title = stem_of(segments)
    found.file_metadata.duration = segments.duration_s
    found.sandbox.update(name=name_of(segments), versions={"airsift": __version__})
    labels = in_ticks(segments, _PER_S, segments.duration_s)
    songs = in_ticks(segments.matches, _PER_S, segments.duration_s)

    def add(namespace: str, what: str, rows: Iterable[_Row], **sandbox: object) -> None:
        annotation = Annotation(namespace, time=0, duration=segments.duration_s)
        annotation.annotation_metadata.annotation_tools = f"airsift {__version__}"
        annotation.annotation_metadata.data_source = "program"
        annotation.sandbox.update(content=what, **sandbox)
        for start, end, value, confidence in rows:
            annotation.append(
                time=start / _PER_S,
                duration=(end - start) / _PER_S,
                value=value,
                confidence=confidence,
            )
        found.annotations.append(annotation)

    add("segment_open", "label", ((e.start, e.end, label_of(e.item), e.item.score) for e in labels))
    voices = [
        (e.start, e.end, one_line(e.item.voice), e.item.voice_score) for e in labels if e.item.voice
    ]
    if voices:
        add("segment_open", "voice", voices)
    if songs:
        from dataclasses import asdict

        rows = [(e.start, e.end, song_of(e.item), None) for e in songs]
        add("tag_open", "music", rows, matches=[asdict(e.item) for e in songs])
    return str(found.dumps(indent=1)) + "\n"
