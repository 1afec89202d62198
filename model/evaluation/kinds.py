"""Kinds of audio that the report tells apart: a few lines, each of many fine categories.

`model.corpus.recordings.Recording` has the category of a recording. A window belongs to the first
line of its class whose pattern is found in its category.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model.evaluation.conditions import PURE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from model.evaluation.predict import ConditionPredictions, Predictions


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the report.

    Parameters
    ----------
    name : str
        As the report calls it.
    kind : str
        Its class.
    pattern : str
        Regular expression, searched in the category.
    required : float in [0, 1], optional
        Required share of windows whose one label is right; default: none is required.
    """

    name: str
    kind: str
    pattern: str
    required: float | None = None


LINES = (
    Line(
        "far-field and conversational speech",
        "speech",
        "telephone|call centre|conversation|interview|podcast|meeting|courtroom|far-field",
        0.97,
    ),
    Line("speech of learners and children", "speech", "learners|children"),
    Line("acted speech", "speech", "acted|game voices"),
    Line("read speech and poems", "speech", r"\bread\b|poems"),
    Line("prompts, single words and syllables", "speech", "prompts|single"),
    Line("speech in field recordings", "speech", "field"),
    Line("other speech", "speech", ""),
    Line("solo instruments and stems", "music", r"solo|\bstem"),
    Line("game music", "music", "game music"),
    Line("street music", "music", "street music"),
    Line("other music", "music", ""),
    Line("rap as music", "singing", r"\brap\b|hip[ -]hop", 0.95),
    Line("opera as music", "singing", r"\bopera", 0.98),
    Line("songs with band as music", "singing", r"\bband\b|pop song", 0.995),
    Line("field songs as music", "singing", "field", 0.85),
    Line("a cappella and chant as music", "singing", "a cappella|chant|choir", 0.85),
    Line("other singing as music", "singing", ""),
    Line("game effects and single sounds rejected", "noise", "game effects|single sounds"),
    Line("babies rejected", "noise", r"\bbab(y|ies)", 0.85),
    Line("laughter rejected", "noise", "laugh", 0.85),
    Line("crowds and playing children rejected", "noise", "babble|crowd|children"),
    Line(
        "soundscapes rejected",
        "noise",
        r"ambience|soundscape|\brain\b|\bwind\b|waves|thunder|crackling|water",
        0.97,
    ),
    Line(
        "animals rejected",
        "noise",
        r"animal|\bdog|\bcat\b|\bcow|\bhen\b|rooster|\bpig|sheep|frog|crow\b|bird|insect|cricket",
        0.85,
    ),
    Line(
        "machines rejected",
        "noise",
        r"machine|engine|chainsaw|hand saw|helicopter|airplane|\btrain\b|vacuum|drill|jackhammer|"
        "air conditioner|siren|horn",
        0.97,
    ),
    Line("applause rejected", "noise", "applause|clapping"),
    Line("bells and alarms rejected", "noise", "bell|alarm"),
    Line("other noise rejected", "noise", ""),
)


def line_of(kind: str, category: str) -> Line:
    """Return the line of a category of a class; the last line of a class takes all others."""
    return next(
        line for line in LINES if line.kind == kind and re.search(line.pattern, category.lower())
    )


def by_line(predictions: Predictions) -> Iterator[tuple[Line, ConditionPredictions | None]]:
    """Yield each line and its windows, or None if there are none."""
    for kind in PURE:
        each = predictions.get(kind)
        lines = [line for line in LINES if line.kind == kind]
        if each is None:
            yield from ((line, None) for line in lines)
            continue
        names = np.array([line_of(kind, category).name for category in each.categories.tolist()])
        for line in lines:
            here = names == line.name
            yield line, each.part(here) if here.any() else None
