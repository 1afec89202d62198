"""What must hold on every processor, checked in one process.

Its environment chooses the processor, and with BACKEND the library.


``python tests/stream/laws.py FOLDER`` reads the programmes and the catalogue that
`test_processors` made there. It prints the events of the programmes as JSON, or fails where they
are not the same, to the last bit, however the audio came.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from airsift import config
from airsift.build import build_pipeline
from stream.audio import AudioChunk
from stream.events import Event
from stream.pipeline import Pipeline
from stream.testing import chunks_of
from tests.stream.restarts import through_json


def pipeline(folder: Path, threads: int) -> Pipeline:
    backend = os.environ.get("BACKEND", "torch")
    sets = [
        f"identify.catalogue='{folder / 'catalogue'}'", f"model.threads={threads}",
        f"model.backend={backend}",
    ]  # fmt: skip
    return build_pipeline(config.load(sets=sets, environ={}).config)


def whole(programmes: dict[str, list[AudioChunk]], folder: Path) -> list[Event]:
    """Each programme alone, in long pieces, on one thread."""
    events: list[Event] = []
    for chunks in programmes.values():
        alone = pipeline(folder, 1)
        for chunk in chunks:
            events += alone.push([chunk])
        events += alone.push([], last=True)
    return events


def in_pieces(
    programmes: dict[str, list[AudioChunk]], folder: Path, random: np.random.Generator
) -> list[Event]:
    """All together, in random pieces, with a restart of every station, on two threads."""
    pieces = [piece for chunks in programmes.values() for piece in recut(chunks, random)]
    pieces.sort(key=lambda piece: piece.end / piece.rate)
    middle = len(pieces) // 2
    first, second = pipeline(folder, 2), pipeline(folder, 2)
    events = push_in_groups(first, pieces[:middle], random)
    again = []
    for station in programmes:
        snapshot = through_json(first.snapshot(station))
        second.restore(station, snapshot)
        oldest = snapshot.oldest / second.rate
        mine = [piece for piece in pieces if piece.station == station]
        again += [piece for piece in mine if piece.end / piece.rate > oldest]
    events += second.push(again, last=True)
    return events


def recut(chunks: list[AudioChunk], random: np.random.Generator) -> list[AudioChunk]:
    samples, rate = np.concatenate([chunk.samples for chunk in chunks]), chunks[0].rate
    edges = [0]
    while edges[-1] < len(samples):
        edges.append(min(edges[-1] + int(random.integers(1, 4 * rate)), len(samples)))
    # A slice of an array: its memory begins anywhere.
    return [
        AudioChunk(chunks[0].station, a, samples[a:b], rate) for a, b in itertools.pairwise(edges)
    ]


def push_in_groups(
    stage: Pipeline, pieces: list[AudioChunk], random: np.random.Generator
) -> list[Event]:
    events, at = [], 0
    while at < len(pieces):
        size = int(random.integers(1, 9))
        events += stage.push(pieces[at : at + size])
        at += size
    return events


def main(folder: Path) -> None:
    programmes = {}
    for path in sorted(folder.glob("*.npy")):
        samples, rate = np.load(path), int(path.stem.split("@")[1])
        station = path.stem.split("@")[0]
        step = 10 * rate
        programmes[station] = chunks_of(samples, step, station=station, rate=rate)
    expected = whole(programmes, folder)
    found = in_pieces(programmes, folder, np.random.default_rng(0))
    differing = sorted({repr(e) for e in found} ^ {repr(e) for e in expected})
    if differing:
        raise SystemExit("differs: " + "\n".join(differing[:4]))
    by_station: dict[str, list[dict[str, object]]] = defaultdict(list)
    for event in expected:
        by_station[event.station].append(event.to_dict() | {"kind": event.kind})
    json.dump(by_station, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
