"""The expected events of the stations, and the comparison with the published ones."""

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
    """The events of one undisturbed pipeline, without Kafka, for the same messages.

    Parameters
    ----------
    reasons : bool
        Whether the reasons of gaps must agree.
    """

    def __init__(self, *, reasons: bool = True) -> None:
        self._reasons = reasons
        self.forms_by_id: dict[str, list[str]] = {}  # versions of each event, in order

    def add(self, messages: Iterable[Message]) -> None:
        """Process messages without faults; those of a station in order."""
        settings = config.load(environ={}).config
        pipeline, decoder = build_pipeline(settings), ChunkDecoder(settings.kafka.wire)
        for some in _many(messages, 64):
            chunks = [decoder.decode(m.key, m.value, m.headers, None).chunk for m in some]
            self._note(pipeline, chunks)

    def _note(self, pipeline: Pipeline, chunks: Sequence[AudioChunk]) -> None:
        for event in pipeline.push(chunks):
            form = comparable(event.to_json(), reasons=self._reasons)
            self.forms_by_id.setdefault(event.id, []).append(form)

    @property
    def forms(self) -> set[tuple[str, str]]:
        """Every (id, version) that must be published."""
        return {(key, form) for key, forms in self.forms_by_id.items() for form in forms}

    def compare(self, lines: Iterable[str]) -> Comparison:
        """Compare with all published lines."""
        wanted = self.forms
        published = Counter(
            (json.loads(line)["id"], comparable(line, reasons=self._reasons)) for line in lines
        )
        held: dict[str, list[str]] = {}
        for key, form in published:
            held.setdefault(key, []).append(form)
        changed = sum(
            max(held[key], key=_rank) != max(forms_by_id, key=_rank)
            for key, forms_by_id in self.forms_by_id.items()
            if key in held
        )
        lost = sorted(form for _, form in wanted - published.keys())
        wrong = sorted(form for _, form in published.keys() - wanted)
        return Comparison(
            len(wanted), sum(published.values()) - len(published), lost, wrong, changed
        )


class Comparison(NamedTuple):
    """Published events compared with the expected ones.

    Parameters
    ----------
    events : int
        Expected versions.
    repeated : int
        Lines that were published more than once.
    lost, wrong : list of str
        Versions that were not published, and unexpected lines.
    changed : int
        Ids whose last version at the subscriber is wrong.
    """

    events: int
    repeated: int
    lost: list[str]
    wrong: list[str]
    changed: int

    @property
    def columns(self) -> dict[str, float]:
        """The columns of the table."""
        return {
            "events": float(self.events),
            "lost": float(len(self.lost)),
            "repeated": float(self.repeated),
            "wrong": float(len(self.wrong) + self.changed),
        }


def comparable(line: str, *, reasons: bool) -> str:
    """Return the part of an event that must be identical, byte for byte."""
    if reasons or '"airsift.gap/' not in line:
        return line
    return line[: line.index('"reason"')]


def _rank(form: str) -> tuple[bool, int]:
    """Return the rank of a version: the final one wins, else the longest."""
    end = form.index('"end_sample":') + len('"end_sample":')
    return '"final":true' in form, int(form[end : form.index(",", end)])


def _many(items: Iterable[Message], size: int) -> Iterator[list[Message]]:
    some: list[Message] = []
    for item in items:
        some.append(item)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some
