"""What must be said about what the stations of `chaos.py` played, and what was said wrongly."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from airsift import config
from airsift.build import build_pipeline
from stream.kafka.codec.message import ChunkDecoder, Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stream.audio import AudioChunk
    from stream.pipeline import Pipeline


class Truth:
    """What one undisturbed pipeline, without Kafka, says about the same messages.

    Parameters
    ----------
    reasons : bool
        Whether gaps must agree in their reason as well.
    """

    def __init__(self, *, reasons: bool = True) -> None:
        self._reasons = reasons
        self.said: dict[str, list[str]] = {}  # of each id its forms, in order

    def add(self, messages: Iterable[Message]) -> None:
        """Hear messages as if nothing had happened; those of a station in the right order."""
        settings = config.load(environ={}).config
        pipeline, decoder = build_pipeline(settings), ChunkDecoder(settings.kafka.wire)
        for some in _many(messages, 64):
            chunks = [decoder.decode(m.key, m.value, m.headers, None).chunk for m in some]
            self._note(pipeline, chunks)

    def _note(self, pipeline: Pipeline, chunks: Sequence[AudioChunk]) -> None:
        for event in pipeline.push(chunks):
            form = comparable(event.to_json(), reasons=self._reasons)
            self.said.setdefault(event.id, []).append(form)

    @property
    def forms(self) -> set[tuple[str, str]]:
        """Every (id, form) that must be published."""
        return {(key, form) for key, forms in self.said.items() for form in forms}

    def compare(self, lines: Iterable[str]) -> Comparison:
        """Hold all that was published against it."""
        wanted = self.forms
        told = Counter(
            (json.loads(line)["id"], comparable(line, reasons=self._reasons)) for line in lines
        )
        held: dict[str, list[str]] = {}
        for key, form in told:
            held.setdefault(key, []).append(form)
        changed = sum(
            max(held[key], key=_rank) != max(said, key=_rank)
            for key, said in self.said.items()
            if key in held
        )
        lost = sorted(form for _, form in wanted - told.keys())
        wrong = sorted(form for _, form in told.keys() - wanted)
        return Comparison(len(wanted), sum(told.values()) - len(told), lost, wrong, changed)


class Comparison(NamedTuple):
    """What was published beside what should have been.

    Parameters
    ----------
    events : int
        Forms that must be published.
    repeated : int
        Lines that came more than once.
    lost, wrong : list of str
        Forms that were not published, and lines that should not have been.
    changed : int
        Ids of which a subscriber holds another form in the end than the right one.
    """

    events: int
    repeated: int
    lost: list[str]
    wrong: list[str]
    changed: int

    @property
    def figures(self) -> dict[str, float]:
        """The columns of the table."""
        return {
            "events": float(self.events),
            "lost": float(len(self.lost)),
            "repeated": float(self.repeated),
            "wrong": float(len(self.wrong) + self.changed),
        }


def comparable(line: str, *, reasons: bool) -> str:
    """Return what of an event must be the same, byte for byte."""
    if reasons or '"airsift.gap/' not in line:
        return line
    return line[: line.index('"reason"')]


def _rank(form: str) -> tuple[bool, int]:
    """Return what a subscriber goes by: of one id the final form counts, else the longest."""
    end = form.index('"end_sample": ') + len('"end_sample": ')
    return '"final": true' in form, int(form[end : form.index(",", end)])


def _many(items: Iterable[Message], size: int) -> Iterator[list[Message]]:
    some: list[Message] = []
    for item in items:
        some.append(item)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some
