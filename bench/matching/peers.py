"""airsift beside Chromaprint, audfprint, Olaf and Panako on what broadcasting does to music.

Two tasks on held-out sources of a corpus (`peer_material`): clips of 10 s through chains of
degradations, and programmes in which music 0 to -25 dB below speech plays for 1 to 10 s, where
each second is to be named. A peer is asked about windows that overlap by half, and has, of the
settings and windows tried, those with the best figures on this very audio, and likewise its
threshold. airsift has what it is shipped with.

::

    python -m bench.matching.peers corpus/ --olaf olaf/bin/olaf_core --panako panako/panako
    python -m bench.matching.peers corpus/ --write-docs   # into docs/matching_peers.md

Answers are stored under ``--work``, airsift's for each state of its source, and an interrupted run
resumes. A peer that is not there is left out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import airsift as application
import model
import stream
from bench.matching import music, peers_page
from bench.matching.answers import stored_answers
from bench.matching.background import Background, Span, Tally, tally, total
from bench.matching.broadcast import Broadcast
from bench.matching.matchers import airsift, audfprint, chromaprint, open_catalogue, version
from bench.matching.peer_material import Material, material
from bench.matching.programmes import names_of
from bench.matching.programs import olaf, panako
from bench.matching.queries import as_int16, file_name
from bench.report import Report, arguments
from fingerprint.analysis.track_landmarks import LandmarkExtractor
from fingerprint.matching.hypothesis import THRESHOLD
from fingerprint.matching.long_queries import match_long
from fingerprint.matching.matcher import LandmarkMatcher
from model.spec import SAMPLE_RATE as RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from bench.matching.matchers import Query, QueryResult

_THRESHOLDS = 60  # tried on programmes


@dataclass(frozen=True, slots=True)
class Contender:
    """A matcher with one of its settings.

    Parameters
    ----------
    name, settings : str
        Shown in the tables.
    open : callable
        From (tracks, folder) to its query function.
    windows_s : tuple of int
        Lengths of windows of a programme that are tried.
    threshold : float, optional
        Its own. Without one it gets the best.
    """

    name: str
    settings: str
    open: Callable[[list[Path], Path], Query]
    windows_s: tuple[int, ...]
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class ChainResult:
    """Clips found and named wrongly, by chain, at the threshold with nothing false."""

    settings: str
    threshold: float
    found: dict[str, int]
    wrong: dict[str, int]
    false: int

    @property
    def all_found(self) -> int:
        return sum(self.found.values())


@dataclass(frozen=True, slots=True)
class ProgrammeResult:
    """Seconds named in programmes, and how they were asked."""

    settings: str
    tally: Tally


def contenders(olafs: Sequence[Path], panakos: Sequence[Path]) -> list[Contender]:
    """Return all that can be run; say in one line which peer cannot."""
    own = float(np.nextafter(THRESHOLD, 0))
    out = [Contender("airsift", "as shipped", airsift, (8,), own)]
    if shutil.which("fpcalc"):
        out.append(Contender("Chromaprint", "fpcalc", chromaprint, (4, 8)))
    else:
        print("Chromaprint left out: fpcalc is not there", file=sys.stderr)
    for density in (20.0, 70.0):
        run = partial(audfprint, density=density)
        out.append(Contender("audfprint", f"density {density:g}", run, (4, 8)))
    for name, programs, run, windows in (
        ("Olaf", olafs, olaf, (4, 8)),
        ("Panako", panakos, panako, (8,)),
    ):
        if not programs:
            print(f"{name} left out: no --{name.lower()} PROGRAM", file=sys.stderr)
        for program in programs:
            if shutil.which(program) is None:
                print(f"{name} left out: {program} is no program", file=sys.stderr)
                continue
            whole = partial(run, program=program.resolve())
            out.append(Contender(name, program.name, whole, windows))
    return out


def on_chains(contender: Contender, given: Material, work: Path) -> ChainResult:
    """Ask about the clips of every chain."""
    false = _answers(contender, list(given.negatives), given, work, "negatives")
    highest = [max((score for _, _, score in each["answers"]), default=0.0) for each in false]
    threshold = max(highest) if contender.threshold is None else contender.threshold
    found, wrong = {}, {}
    for clips in given.chains:
        results = _answers(contender, list(clips.samples), given, work, clips.name)
        names = [
            {track for track, _, score in each["answers"] if score > threshold} for each in results
        ]
        pairs = list(zip(names, clips.tracks, strict=True))
        found[clips.name] = sum(track in each for each, track in pairs)
        wrong[clips.name] = sum(bool(each - {track}) for each, track in pairs)
    named = sum(score > threshold for score in highest)
    return ChainResult(contender.settings, threshold, found, wrong, named)


def on_programmes(contender: Contender, given: Material, work: Path) -> ProgrammeResult:
    """Ask about windows of programmes; keep the length and the threshold with the best F1."""
    best: ProgrammeResult | None = None
    for window_s in contender.windows_s:
        spans = [
            _spans(
                _answers(
                    contender, windows(each.samples, window_s), given, work,
                    f"{each.name} {window_s} s",
                ),
                window_s,
            )
            for each in given.programmes
        ]  # fmt: skip
        for threshold in _thresholds(contender, spans):
            kept = [[span for span in each if span.score > threshold] for each in spans]
            pairs = zip(given.programmes, kept, strict=True)
            counted = total([tally(each, some) for each, some in pairs])
            if best is None or counted.f1 > best.tally.f1:
                how = f"{contender.settings}, windows of {window_s} s, score over {threshold:.3g}"
                best = ProgrammeResult(how, counted)
    if best is None:
        raise ValueError(f"{contender.name} has no windows to ask about; give it a length")
    return best


def windows(samples: NDArray[np.float32], window_s: int) -> list[NDArray[np.int16]]:
    """Return windows that overlap by half."""
    n = window_s * RATE
    return [as_int16(samples[at : at + n]) for at in range(0, len(samples) - n + 1, n // 2)]


def whole_file(given: Material, work: Path) -> ProgrammeResult:
    """Ask airsift about programmes as `airsift catalogue match` does."""

    def spans(programme: Background) -> list[Span]:
        matcher = LandmarkMatcher(open_catalogue(given.tracks, work))
        extractor = LandmarkExtractor()
        extractor.push(programme.samples)
        return [
            Span(match.query_start / RATE, match.query_end / RATE, match.track, match.score)
            for match in match_long(matcher, extractor.finish())
        ]

    stored = work / "answers" / f"{version('airsift')}-whole_file"
    return ProgrammeResult("`airsift catalogue match`", _counted(given, stored, spans))


def live(given: Material, work: Path) -> ProgrammeResult:
    """Send programmes through the engine; the final matches count."""

    def spans(programme: Background) -> list[Span]:
        folder = open_catalogue(given.tracks, work).folder
        names = names_of(Broadcast(programme.name, programme.samples, ()), folder)
        return [
            Span(name.match.start / RATE, name.match.end / RATE, name.match.track, 1.0)
            for name in names
        ]

    stored = work / "answers" / f"{version('airsift', application, model, stream)}-live"
    return ProgrammeResult("live, as published", _counted(given, stored, spans))


def _counted(given: Material, stored: Path, spans: Callable[[Background], list[Span]]) -> Tally:
    """Return the seconds by result, with spans that are stored or new."""
    stored.mkdir(parents=True, exist_ok=True)
    tallies = []
    for each in given.programmes:
        place = stored / f"{file_name(each.name)}.json"
        if not place.exists():
            place.write_text(json.dumps([asdict(span) for span in spans(each)]))
        tallies.append(tally(each, [Span(**fields) for fields in json.loads(place.read_text())]))
    return total(tallies)


def _answers(
    contender: Contender,
    queries: list[NDArray[np.int16]],
    given: Material,
    work: Path,
    name: str,
) -> list[QueryResult]:
    folder = f"{version(contender.name)}-{file_name(contender.settings)}"
    stored = work / "answers" / folder / f"{file_name(name)}.json"
    return stored_answers(lambda: _opened(contender, tuple(given.tracks), work), queries, stored)


@cache
def _opened(contender: Contender, tracks: tuple[Path, ...], work: Path) -> Query:
    return contender.open(list(tracks), work)


def _spans(results: Sequence[QueryResult], window_s: int) -> list[Span]:
    """Return the answers with their times in the programme; the whole window without its own."""
    out = []
    for number, result in enumerate(results):
        base = number * window_s / 2
        own = result.get("spans") or [(0.0, float(window_s))] * len(result["answers"])
        for (track, _, score), (start, end) in zip(result["answers"], own, strict=True):
            out.append(Span(base + start, base + end, track, score))
    return out


def _thresholds(contender: Contender, spans: Sequence[Sequence[Span]]) -> list[float]:
    if contender.threshold is not None:
        return [contender.threshold]
    scores = np.unique([span.score for each in spans for span in each])
    tried = scores[:: max(len(scores) // _THRESHOLDS, 1)]
    return [float(np.nextafter(score, -np.inf)) for score in tried]


def compare(
    given: Material, work: Path, run: Sequence[Contender]
) -> tuple[dict[str, ChainResult], dict[str, ProgrammeResult]]:
    """Return the best of each matcher's settings on both tasks."""
    chains: dict[str, ChainResult] = {}
    programmes: dict[str, ProgrammeResult] = {}
    for each in run:
        on = on_chains(each, given, work)
        if each.name not in chains or sum(on.found.values()) > sum(
            chains[each.name].found.values()
        ):
            chains[each.name] = on
        asked = on_programmes(each, given, work)
        if each.name not in programmes or asked.tally.f1 > programmes[each.name].tally.f1:
            programmes[each.name] = asked
        print(each.name, each.settings, on, asked, file=sys.stderr, flush=True)
    return chains, programmes


def main() -> None:
    parser = arguments(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--work", type=Path, default=music.default_folder() / "peers")
    parser.add_argument("--olaf", type=Path, nargs="+", default=[], metavar="PROGRAM")
    parser.add_argument("--panako", type=Path, nargs="+", default=[], metavar="PROGRAM")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="matchers to run")
    parser.add_argument("--write-docs", action="store_true", help="into docs/matching_peers.md")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    given = material(options.corpus, options.work)
    run = contenders(options.olaf, options.panako)
    run = [each for each in run if not options.only or each.name in options.only]
    chains, programmes = compare(given, options.work, run)
    if not options.only or "airsift" in options.only:
        programmes = {
            "airsift, live": live(given, options.work),
            "airsift, whole file": whole_file(given, options.work),
            "airsift, windows": programmes.pop("airsift"),
        } | programmes
    report = Report("airsift beside other matchers")
    for name, result in chains.items():
        report.row(f"{name}: chains", **result.found)
    for name, asked in programmes.items():
        counted = asked.tally
        report.row(
            f"{name}: programmes",
            precision=counted.precision, recall=counted.recall, f1=counted.f1,
            settings=asked.settings, wrong_in=str(dict(counted.wrong_in)),
        )  # fmt: skip
    if options.write_docs:
        peers_page.write(given, chains, programmes)
    report.finish(options.json)


if __name__ == "__main__":
    main()
