"""Fit the settings of ``[smoothing]`` to a network, on programmes of the validation recordings.

Use::

    python -m bench.smoothing corpus/ [--model airsift.pt] [--programmes 80]

Each programme is decided once. Then the smoothing stage is run on its decisions with other
settings: first the levels, which date boundaries, then the cost of a change, which decides how many
there are, each by the harmonic mean of precision and recall of the boundaries within 1 s. The
settings are printed, and the figures before and after, for each kind of transition.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from airsift import config
from airsift.build import build_pipeline, smoothing
from model.evaluation.conditions import held_out_takes
from model.evaluation.event_metrics import NEAR_S
from model.evaluation.programmes import CLASSES, Programme, programmes
from model.mixing import merge_spans
from model.spec import SAMPLE_RATE
from model.weights import DEFAULT_WEIGHTS, sha256_of
from stream.audio import EndOfStream
from stream.events import Decision, Segment
from stream.lines import to_json
from stream.stages.smooth import Smooth, SmoothSettings
from stream.testing import chunks_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stream.audio import AudioChunk
    from stream.pipeline import Pipeline

LEVELS = (0.3, 0.36, 0.43, 0.5, 0.57, 0.64, 0.7)  # about 0.3 apart in log odds
CHANGE_COSTS = (1.0, 1.6, 2.4, 3.2, 4.0, 5.0, 6.4)
NEAR = round(NEAR_S * SAMPLE_RATE)


@dataclass(frozen=True, slots=True)
class Decided:
    """A programme without its samples, and the decisions about it."""

    programme: Programme
    length: int
    decisions: list[Decision]


@dataclass(slots=True)
class Score:
    """Counts of boundaries, and of seconds in which a class is active."""

    found: Counter[str]  # true ones found, by the kind of transition
    true: Counter[str]
    false: Counter[str]  # those that are not true, by the item that they lie in
    seconds: dict[str, list[int]]  # by class: both, true, estimated
    delays: list[float]  # s from a boundary to the end of the window that made it final

    @property
    def recall(self) -> float:
        return sum(self.found.values()) / max(sum(self.true.values()), 1)

    @property
    def precision(self) -> float:
        found = sum(self.found.values())
        return found / max(found + sum(self.false.values()), 1)

    @property
    def f(self) -> float:
        return 2 * self.recall * self.precision / max(self.recall + self.precision, 1e-9)

    def line(self) -> str:
        """Return the figures as one line."""
        true = sum(self.true.values())
        published = sum(self.found.values()) + sum(self.false.values())
        macro = sum(2 * both / max(a + b, 1) for both, a, b in self.seconds.values()) / 2
        late = sorted(self.delays) or [0.0]
        return (
            f"recall {100 * self.recall:.1f} precision {100 * self.precision:.1f} "
            f"F {100 * self.f:.1f} published {published} for {true} true "
            f"segment F {100 * macro:.2f} final after {late[len(late) // 2]:.1f} s, "
            f"nine of ten {late[len(late) * 9 // 10]:.1f} s, all {late[-1]:.1f} s"
        )


def decide(given: Iterable[Programme], pipeline: Pipeline) -> Iterator[Decided]:
    """Yield each programme with its decisions."""
    for programme in given:
        pieces: Sequence[AudioChunk] = chunks_of(
            programme.samples, 10 * SAMPLE_RATE, station=programme.name, rate=SAMPLE_RATE
        )
        events = [event for piece in pieces for event in pipeline.push([piece])]
        events += pipeline.push([], last=True)
        decisions = [event for event in events if isinstance(event, Decision)]
        length = len(programme.samples)
        yield Decided(replace(programme, samples=programme.samples[:0]), length, decisions)


def score(decided: Sequence[Decided], settings: SmoothSettings) -> Score:
    """Smooth the decisions of each programme, and compare the boundaries with the true ones."""
    total = Score(Counter(), Counter(), Counter(), {label: [0, 0, 0] for label in CLASSES}, [])
    for each in decided:
        stage, segments = Smooth(settings), list[Segment]()
        for decision in each.decisions:
            made = [e for e in stage.push([decision]) if isinstance(e, Segment) and e.final]
            total.delays += [(decision.end - segment.end) / SAMPLE_RATE for segment in made]
            segments += made
        end = EndOfStream(each.programme.name, each.length, SAMPLE_RATE)
        segments += [event for event in stage.push([end]) if isinstance(event, Segment)]
        for label in CLASSES:
            _compare(total, each, label, segments)
    return total


def _compare(total: Score, decided: Decided, label: str, segments: Sequence[Segment]) -> None:
    programme = decided.programme
    found = merge_spans(
        (s.start, s.end) for s in segments if s.label in (label, "speech_over_music")
    )
    truth = programme.speech if label == "speech" else programme.music
    active = [
        {second for a, b in spans for second in range(a // SAMPLE_RATE, -(-b // SAMPLE_RATE))}
        for spans in (truth, found)
    ]
    for place, seconds in enumerate((active[0] & active[1], *active)):
        total.seconds[label][place] += len(seconds)
    for side in (0, 1):
        wanted = [edge for edge in programme.edges if (edge.label, edge.side) == (label, side)]
        dated = [span[side] for span in found if 0 < span[side] < decided.length]
        near = sorted(
            (abs(edge.at - at), i, j)
            for i, edge in enumerate(wanted)
            for j, at in enumerate(dated)
            if abs(edge.at - at) <= NEAR
        )
        hits: dict[int, int] = {}
        for _, i, j in near:
            if i not in hits and j not in hits.values():
                hits[i] = j
        total.true.update(edge.kind for edge in wanted)
        total.found.update(wanted[i].kind for i in hits)
        wrong = [at for j, at in enumerate(dated) if j not in hits.values()]
        items = [[kind for first, kind in programme.items if first <= at] for at in wrong]
        total.false.update(kinds[-1] for kinds in items)


def fit(decided: Sequence[Decided], settings: SmoothSettings) -> SmoothSettings:
    """Return the settings with the best F, one after the other."""
    for name, values in (
        ("speech_level", LEVELS), ("music_level", LEVELS), ("change_cost", CHANGE_COSTS),
    ):  # fmt: skip
        tried = [replace(settings, **{name: value}) for value in values]
        settings = max([settings, *tried], key=lambda each: score(decided, each).f)
    return settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--model", type=Path, default=DEFAULT_WEIGHTS)
    parser.add_argument("--programmes", type=int, default=80)
    given = parser.parse_args()
    model: Path = given.model
    chosen = [f"model.path={to_json(str(model.resolve()))}", f"model.sha256={sha256_of(model)}"]
    settings = config.load(sets=[*chosen, "model.voice=false"], environ={}).config
    takes = held_out_takes(given.corpus, "validation")
    generated = programmes(takes, count=given.programmes)
    decided = list(decide(generated, build_pipeline(settings)))
    before = smoothing(settings, SAMPLE_RATE)
    after = fit(decided, before)
    for title, each in (("as configured", before), ("fitted", after)):
        result = score(decided, each)
        print(f"{title}: {result.line()}")
        for kind, true in sorted(result.true.items()):
            print(f"  {kind}: {result.found[kind]} of {true} found")
        print(f"  not true: {dict(result.false.most_common())}")
    for name in ("change_cost", "speech_level", "music_level"):
        print(f"{name} = {getattr(after, name):g}")


if __name__ == "__main__":
    main()
