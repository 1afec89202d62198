"""How well playings are named in programmes of 35 minutes, by the pipeline of `airsift segment`.

::

    python -m bench.matching.programmes corpus/                     # of the test split
    python -m bench.matching.programmes corpus/ --split validation  # for choosing settings
    python -m bench.matching.programmes corpus/ --write-docs        # into docs/fingerprint.md
    python -m bench.matching.programmes corpus/ --list              # every playing, and wrong names

The corpus is one of `airsift corpus build`; its two splits have no track and no voice in common.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from airsift import config
from airsift.build import build_pipeline
from bench.matching.broadcast import Library, Playing, broadcasts, library
from bench.report import Report, arguments, table_lines, write_section
from fingerprint.analysis.peaks import extract
from fingerprint.catalogue import Catalogue
from fingerprint.duplicates import find_near_duplicate
from fingerprint.track import Track
from model.spec import SAMPLE_RATE as RATE
from stream.events import Decision, Match
from stream.testing import chunks_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.matching.broadcast import Broadcast

PAGE = Path(__file__).parents[2] / "docs" / "fingerprint.md"
_SCRIPT = "bench/matching/programmes.py"
SEEDS = {"validation": 1, "test": 3}
# The events are the same for every size of chunks; large ones are processed faster.
CHUNK = 10 * RATE
# A name belongs to a playing if it shares this part of the shorter one of both.
_SHARED = 0.5


@dataclass(slots=True)
class Name:
    """A match, and the end of the decision that it followed, when it was new and when it was final.

    What is live differs by the time between two chunks, and by 0.1 s that a column of the front end
    needs of the audio behind it.
    """

    match: Match
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Result:
    """A playing, and the names that it was given, in order; none if it was missed."""

    playing: Playing
    names: tuple[Name, ...]

    @property
    def start_error_s(self) -> float:
        return abs(self.names[0].match.start - self.playing.start) / RATE

    @property
    def end_error_s(self) -> float:
        return abs(max(each.match.end for each in self.names) - self.playing.end) / RATE

    @property
    def first_name_s(self) -> float:
        """From its start to its first name."""
        return (min(each.first for each in self.names) - self.playing.start) / RATE

    @property
    def final_s(self) -> float:
        """From its end to its final match."""
        return (max(each.last for each in self.names) - self.playing.end) / RATE


@dataclass(slots=True)
class Score:
    """The playings of one or more programmes, and the names of what did not play."""

    results: list[Result] = field(default_factory=list)
    wrong: list[Name] = field(default_factory=list)
    samples: int = 0

    def __add__(self, other: Score) -> Score:
        samples = self.samples + other.samples
        return Score(self.results + other.results, self.wrong + other.wrong, samples)

    @property
    def found(self) -> list[Result]:
        return [each for each in self.results if each.names]


def score(broadcast: Broadcast, names: Iterable[Name]) -> Score:
    """Give every name to the playing of its track that it shares most with, if there is one."""
    given: dict[Playing, list[Name]] = {playing: [] for playing in broadcast.playings}
    out = Score(samples=len(broadcast.samples))
    for name in names:
        same = [each for each in broadcast.playings if each.track == name.match.track]
        nearest = max(same, key=lambda each: _shared(each, name.match), default=None)
        if nearest is None or _shared(nearest, name.match) < _SHARED:
            out.wrong.append(name)
        else:
            given[nearest].append(name)
    out.results = [Result(playing, tuple(found)) for playing, found in given.items()]
    return out


def names_of(broadcast: Broadcast, catalogue: Path) -> list[Name]:
    """Run a programme through the pipeline; return the matches that became final."""
    chosen = config.load(sets=[f"identify.catalogue='{catalogue}'"], environ={}).config
    pipeline = build_pipeline(chosen)
    events: list[object] = []
    for chunk in chunks_of(broadcast.samples, CHUNK, station=broadcast.name, rate=RATE):
        events += pipeline.push([chunk])
    return names_in([*events, *pipeline.push([], last=True)])


def names_in(events: Iterable[object]) -> list[Name]:
    """Return the matches that became final, in the order in which they were new."""
    names: dict[str, Name] = {}
    now = 0
    for event in events:
        if isinstance(event, Decision):
            now = max(now, event.end)
        elif isinstance(event, Match):
            first = names[event.id].first if event.id in names else now
            names[event.id] = Name(event, first, now)
    return [name for name in names.values() if name.match.final]


def fill_catalogue(folder: Path, audio: Library) -> None:
    """Make the catalogue of all that is known, and drop unknown music that is in it under a name.

    Two packages of games may have one tune.
    """
    with closing(Catalogue.create(folder)) as catalogue:
        for key, samples in audio.known.items():
            catalogue.add(samples, Track(key, key))
        audio.unknown = [
            samples
            for samples in audio.unknown
            if find_near_duplicate(catalogue, extract(samples)) is None
        ]


def _shared(playing: Playing, match: Match) -> float:
    """Return how much of the shorter one of a playing and a match lies in the other."""
    shorter = max(min(playing.end - playing.start, match.end - match.start), 1)
    return (min(playing.end, match.end) - max(playing.start, match.start)) / shorter


def rows(scores: Sequence[Score]) -> list[tuple[str, str, list[str]]]:
    """Return rows of name, what is asked, and a value for each score."""

    def values(form: str, *per_score: Sequence[float]) -> list[str]:
        return [form.format(value) for value in per_score]

    def spread(name: str, quantile: float) -> list[str]:
        found = [[getattr(each, name) for each in score.found] or [np.nan] for score in scores]
        return [f"{np.quantile(each, quantile):.1f} s" for each in found]

    once = [sum(len(each.names) == 1 for each in score.found) for score in scores]
    return [
        ("audio", "", [f"{score.samples / RATE / 60:.0f} min" for score in scores]),
        ("found", "98 %", [f"{len(s.found)} of {len(s.results)}" for s in scores]),
        ("wrong names", "0", [str(len(score.wrong)) for score in scores]),
        ("found with exactly one final match", "all",
         [f"{n} of {len(s.found)}" for n, s in zip(once, scores, strict=True)]),
        ("first name, median", "5 s", spread("first_name_s", 0.5)),
        ("first name, p90", "12 s", spread("first_name_s", 0.9)),
        ("error of the start, p90", "", spread("start_error_s", 0.9)),
        ("error of the end, p90", "1.0 s", spread("end_error_s", 0.9)),
        ("final after the end, median", "", spread("final_s", 0.5)),
        ("final after the end, p90", "", spread("final_s", 0.9)),
    ]  # fmt: skip


def kinds(total: Score) -> list[tuple[str, str, str, str, str]]:
    """Return a row for each kind: found, first name (median), error of start and end (p90)."""
    out = []
    for kind in Counter(each.playing.kind for each in total.results):
        of_kind = [each for each in total.results if each.playing.kind == kind]
        found = [each for each in of_kind if each.names]
        figures = [
            f"{np.quantile([getattr(each, name) for each in found] or [np.nan], share):.1f} s"
            for name, share in (("first_name_s", 0.5), ("start_error_s", 0.9), ("end_error_s", 0.9))
        ]
        out.append((kind, f"{len(found)} of {len(of_kind)}", *figures))
    return out


def write_page(scores: Sequence[Score], total: Score, audio: Library) -> None:
    """Replace the text between the two marks."""
    head = ["", "asked", *(f"programme {n}" for n in range(1, len(scores) + 1)), "all"]
    lines = [
        f"The catalogue has {len(audio.songs)} songs, {len(audio.jingles)} jingles and "
        f"{len(audio.adverts)} adverts; {len(audio.unknown)} other",
        "tracks of the same sources play too.",
        "",
        *table_lines(
            head, [[name, asked, *cells] for name, asked, cells in rows([*scores, total])]
        ),
        "",
        *table_lines(
            ["kind of playing", "found", "first name, median", "start, p90", "end, p90"],
            [list(row) for row in kinds(total)],
        ),
    ]
    write_section(PAGE, _SCRIPT, "\n".join(lines))


def _print_all(broadcast: Broadcast, found: Score) -> None:
    for each in found.results:
        playing = each.playing
        text = f"{broadcast.name} {playing.start / RATE:7.1f} {playing.end / RATE:7.1f}"
        text += f" {playing.kind:20} {playing.track[-40:]:40}"
        for name in each.names:
            match = name.match
            text += (
                f" [{match.start / RATE:.1f} {match.end / RATE:.1f} score {match.score} "
                f"first {(name.first - playing.start) / RATE:.1f}]"
            )
        print(text if each.names else f"{text} MISSED")
    for name in found.wrong:
        match = name.match
        span = f"{match.start / RATE:7.1f} {match.end / RATE:7.1f}"
        print(f"{broadcast.name} {span} WRONG {match.track} score {match.score}")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--split", choices=tuple(SEEDS), default="test")
    parser.add_argument("--programmes", type=int, default=3, metavar="N")
    parser.add_argument("--list", action="store_true", help="print every playing")
    parser.add_argument("--write-docs", action="store_true", help="into docs/fingerprint.md")
    options = parser.parse_args()
    seed = SEEDS[options.split]
    audio = library(options.corpus, options.split, seed)
    scores = []
    with tempfile.TemporaryDirectory() as folder:
        fill_catalogue(Path(folder) / "shelf", audio)
        for broadcast in broadcasts(audio, options.programmes, seed):
            found = score(broadcast, names_of(broadcast, Path(folder) / "shelf"))
            scores.append(found)
            if options.list:
                _print_all(broadcast, found)
    total = sum(scores, Score())
    report = Report(f"playings in programmes, {options.split} split")
    for name, asked, cells in rows([*scores, total]):
        places = [*(f"programme_{n}" for n in range(1, len(scores) + 1)), "all"]
        report.row(name, asked=asked, **dict(zip(places, cells, strict=True)))
    for kind, found_of, first, start, end in kinds(total):
        report.row(kind, found=found_of, first_name=first, start_p90=start, end_p90=end)
    if options.write_docs:
        write_page(scores, total, audio)
    report.finish(options.json)


if __name__ == "__main__":
    main()
