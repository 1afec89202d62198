"""What a station costs live, by label: queries and CPU time of an hour, without the network.

``python -m bench.matching.live_cost CATALOGUE FILE...`` has each file queried as if all of it had
one label, once for each label.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from airsift import config
from airsift.build import build_identify
from fingerprint.matching.matcher import LandmarkMatcher
from fingerprint.settings import SAMPLE_RATE
from stream.audio import AudioChunk, EndOfStream
from stream.events import Decision, Label, Match, Segment
from stream.sources.file import read_file
from stream.testing import chunks_of

_WINDOW_S = 5
LABELS: tuple[Label, ...] = ("speech", "music")


def measure(catalogue: Path, file: Path, label: Label) -> str:
    """Return one line: what a file costs if all of it has one label."""
    chosen = config.load(sets=[f"identify.catalogue='{catalogue}'"], environ={}).config
    identify = build_identify(chosen, SAMPLE_RATE)
    assert identify is not None
    matchers = identify.matchers_of("a")
    assert matchers is not None
    assert isinstance(matchers.plain, LandmarkMatcher)
    samples = read_file(file, SAMPLE_RATE)
    hours = len(samples) / SAMPLE_RATE / 3600
    asked = matchers.plain.extract_next
    queries = 0

    def counted(piece, start, spectrum):
        nonlocal queries
        queries += 1
        return asked(piece, start, spectrum)

    matchers.plain.extract_next = counted  # type: ignore[method-assign]
    matches = 0
    began = time.process_time()
    for chunk in chunks_of(samples, SAMPLE_RATE // 2, station="a"):
        items: list[AudioChunk | Decision | Segment] = [chunk]
        start = chunk.end - _WINDOW_S * SAMPLE_RATE
        if start >= 0:
            items.append(Decision("a", start, chunk.end, SAMPLE_RATE, None, 0.5, 0.5))
            items.append(Segment("a", 0, chunk.end, SAMPLE_RATE, None, label, 0.5, final=False))
        matches += sum(isinstance(item, Match) and item.final for item in identify.push(items))
    end = EndOfStream("a", len(samples), SAMPLE_RATE)
    matches += sum(isinstance(item, Match) and item.final for item in identify.push([end]))
    spent = time.process_time() - began
    return (
        f"{file.name} as {label}: {hours:.2f} h, {queries / hours:.0f} queries and "
        f"{spent / hours:.1f} s of CPU per hour, {matches} matches"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    options = parser.parse_args()
    for file in options.files:
        for label in LABELS:
            print(measure(options.catalogue, file, label), flush=True)


if __name__ == "__main__":
    main()
