"""Benchmark of the fingerprint matcher: degraded queries, and music that is not in the catalogue.

A catalogue of about 190 tracks from Debian packages, degraded queries of 10 and 5 s, and hours of
other music, for airsift, Chromaprint and audfprint. The first run downloads about 1.5 GB; all
results are stored under ``--audio``, and an interrupted run resumes.

``python -m bench.matching``                 everything, at the end the tables
``python -m bench.matching --quick``         20 queries a condition, half an hour of negatives
``python -m bench.matching --write-docs``    puts tables and figure into docs/fingerprint.md;
                                             with --only, the columns of these matchers alone
``python -m bench.matching --conditions "clean, 3 s" --only airsift``
``python -m bench.matching --costs-only``    CPU times and nothing else

`bench.matching.hard` measures false names among hard kinds of audio, and calibrates scores.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from airsift.errors import AirsiftError
from bench.matching import costs, music, page
from bench.matching.answers import stored_answers
from bench.matching.degradations import Condition
from bench.matching.matchers import MATCHERS, Query, QueryResult, version
from bench.matching.queries import PIECE_S, file_name, make, negatives, query_sets
from bench.matching.score import Figures, Tracks, score
from bench.report import Report, arguments
from fingerprint.matching.hypothesis import THRESHOLD


def main() -> None:
    parser = arguments(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--audio", type=Path, default=music.default_folder(), metavar="FOLDER")
    parser.add_argument("--queries", type=int, default=100, metavar="N", help="per condition")
    parser.add_argument("--negatives-h", type=float, default=2.5, metavar="H")
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--only", nargs="+", choices=list(MATCHERS), default=list(MATCHERS))
    parser.add_argument(
        "--conditions", nargs="+", metavar="NAME", help="only these, as 'clean, 10 s'"
    )
    parser.add_argument("--quick", action="store_true", help="a small run in a folder of its own")
    parser.add_argument("--write-docs", action="store_true", help="into docs/fingerprint.md")
    parser.add_argument("--costs-only", action="store_true", help="CPU times; under 2 minutes")
    options = parser.parse_args()
    if options.conditions and options.write_docs:
        parser.error("--write-docs writes all conditions; leave --conditions out")
    if options.quick:
        options.queries, options.negatives_h = 20, 0.5

    tracks = music.music(music.CATALOGUE, options.audio)
    work = options.audio / "runs" / f"{options.split}-{options.queries}-{options.negatives_h:g}"
    work.mkdir(parents=True, exist_ok=True)
    report = Report("fingerprint")
    if options.costs_only:
        costs.costs(tracks, options.audio, report)
    else:
        table, about = run(options, tracks, work)
        fill_report(table, about, report)
        if options.write_docs:
            page.write(table, about)
    report.finish(options.json)


def run(
    options: argparse.Namespace, tracks: list[Path], work: Path
) -> tuple[dict[str, dict[str, Figures]], dict[str, Any]]:
    """Run the remaining queries of every matcher; return the results."""
    wanted = chosen(options.conditions)
    silent = list(negatives(options.split, options.negatives_h, options.audio))
    kinds = [kind for kind, _ in silent]
    pieces = [piece for _, piece in silent]
    sound = Tracks(tracks)
    sets = [
        make(condition, seconds, options.split, options.queries, options.audio, work)
        for condition, seconds in wanted
    ]
    table: dict[str, dict[str, Figures]] = {queries.name: {} for queries in sets}
    about: dict[str, Any] = {"thresholds": {}, "silence": {}}
    for matcher in options.only:
        false = answer_all(matcher, "negatives", pieces, tracks, options.audio, work)
        # The highest score of a false answer; airsift has its own threshold.
        highest = [max((a[2] for a in answers["answers"]), default=0.0) for answers in false]
        threshold = float(np.nextafter(THRESHOLD, 0)) if matcher == "airsift" else max(highest)
        about["thresholds"][matcher] = threshold
        if matcher == "airsift":
            for kind in dict.fromkeys(kinds):
                some = [
                    answers for answers, other in zip(false, kinds, strict=True) if other == kind
                ]
                wrong = sum(bool(answers["answers"]) for answers in some)
                about["silence"][kind] = (len(some) * PIECE_S / 3600, wrong)
        for queries in sets:
            answers = answer_all(
                matcher, queries.name, list(queries.audio), tracks, options.audio, work
            )
            table[queries.name][matcher] = score(queries, answers, threshold, sound)
            if matcher == "airsift":
                table[queries.name]["first pass"] = _first(answers)
            print(queries.name, matcher, table[queries.name][matcher], file=sys.stderr, flush=True)
    hours = sum(len(np.load(path, mmap_mode="r")) for path in tracks) / music.RATE / 3600
    about |= {"tracks": len(tracks), "hours": hours, "queries": options.queries}
    about |= {"negative_hours": len(pieces) * PIECE_S / 3600}
    return table, about


def chosen(names: list[str] | None) -> list[tuple[Condition, int]]:
    """Return the conditions of these names, or all."""
    sets = {
        f"{condition.name}, {seconds} s": (condition, seconds)
        for condition, seconds in query_sets()
    }
    if unknown := [name for name in names or () if name not in sets]:
        raise AirsiftError(f"{unknown[0]!r} is no condition; there are {', '.join(sets)}")
    return [sets[name] for name in names or sets]


def answer_all(
    matcher: str, name: str, queries: list[Any], tracks: list[Path], audio: Path, work: Path
) -> list[QueryResult]:
    """Return the answers of a matcher, stored or new."""

    def open_matcher() -> Query:
        if matcher not in _query_functions:
            _query_functions[matcher] = MATCHERS[matcher](tracks, audio)
        return _query_functions[matcher]

    place = work / "answers" / version(matcher) / f"{file_name(name)}.json"
    return stored_answers(open_matcher, queries, place)


_query_functions: dict[str, Query] = {}


def _first(answers: list[QueryResult]) -> Figures:
    """Return the share in which the first pass alone names a track."""
    named = sum(bool(answer["first"]) for answer in answers)
    return Figures(len(answers), named, 0, 0, 0, 0, 0.0)


def fill_report(
    table: dict[str, dict[str, Figures]], about: dict[str, Any], report: Report
) -> None:
    """Add all results to the report."""
    for name, row in table.items():
        for matcher, figures in row.items():
            if matcher != "first pass":
                report.row(
                    f"{name}: {matcher}",
                    found_percent=figures.found_percent,
                    place_percent=figures.place_percent,
                    repeats=figures.repeats,
                    wrong=figures.wrong,
                    cpu_ms=figures.cpu_ms,
                )
    for kind, (hours, false) in about["silence"].items():
        report.row(f"not in the catalogue: {kind}", hours=hours, false_matches=false)
    for matcher, threshold in about["thresholds"].items():
        report.row(f"threshold: {matcher}", score=threshold)


if __name__ == "__main__":
    main()
