"""airsift, Chromaprint, audfprint and a trained matcher behind one interface.

All receive the same tracks and the same queries as 16-bit samples. The answers for a query are the
track, the sample of the track at the query's start, a score (higher is better), and CPU seconds.
"""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fingerprint
from airsift.errors import AirsiftError, CatalogueError
from bench.matching.music import RATE, load
from bench.matching.pairwise_matcher import pairwise
from bench.matching.queries import as_float
from fingerprint.catalogue import Catalogue
from fingerprint.matching.matcher import LandmarkMatcher
from fingerprint.track import Track

Answer = tuple[str, int, float]
# "answers": list of Answer, "cpu_s": float, "spans": seconds of each in the query where they are
# known, extras of airsift.
QueryResult = dict[str, Any]
Query = Callable[[Sequence[NDArray[np.int16]]], list[QueryResult]]

PAIRWISE = "pairwise boosted"
_AUDFPRINT = ("audfprint2==0.1.2",)
# Chromaprint's own steps: 4096 samples at 11 025 Hz, of which a third is new; the first value
# of a fingerprint speaks for 16 of them.
_CHROMAPRINT_STEP_S = 4096 / 3 / 11_025


def version(matcher: str, *more: ModuleType) -> str:
    """Return a matcher's name, and of our own ones the state of their source: answers are of one.

    `more` are packages besides `fingerprint` that its answers depend on.
    """
    if matcher == PAIRWISE:
        own = sorted(Path(__file__).parent.glob("pairwise*"))
        state = hashlib.sha256(b"".join(path.read_bytes() for path in own)).hexdigest()
        return f"pairwise-{state[:8]}"
    if matcher != "airsift":
        return matcher
    folders = [Path(str(package.__file__)).parent for package in (fingerprint, *more)]
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return (
        f"airsift-{hashlib.sha256(b''.join(path.read_bytes() for path in files)).hexdigest()[:8]}"
    )


def airsift(tracks: list[Path], work: Path) -> Query:
    """Return a query function of airsift; its catalogue is kept in `work`."""
    catalogue = open_catalogue(tracks, work)
    first_only = LandmarkMatcher(catalogue, warp_search=False)
    both = LandmarkMatcher(catalogue)

    def run_queries(queries: Sequence[NDArray[np.int16]]) -> list[QueryResult]:
        out = []
        for query in queries:
            samples = as_float(query)
            clock = [time.process_time()]
            landmarks = both.extract(samples)
            clock.append(time.process_time())
            alone = first_only.match(landmarks)
            clock.append(time.process_time())
            answers = both.match(landmarks)
            clock.append(time.process_time())
            extract, first, all_ = np.diff(clock).tolist()
            answers_of_query = [
                (a.track, round(a.track_start - a.query_start * a.speed), a.score) for a in answers
            ]
            out.append(
                {
                    "answers": answers_of_query,
                    "spans": [(a.query_start / RATE, a.query_end / RATE) for a in answers],
                    "cpu_s": extract + first,
                    "first": [a.track for a in alone],
                    "both_cpu_s": all_,
                    "changes": [(a.speed, a.pitch) for a in answers],
                }
            )
        return out

    return run_queries


def open_catalogue(tracks: list[Path], work: Path) -> Catalogue:
    """Return the catalogue of the tracks, made where it is not there yet."""
    folder = work / "catalogues" / version("airsift")
    if (folder / "whole").exists():
        return Catalogue.open(folder)
    shutil.rmtree(folder, ignore_errors=True)
    catalogue = Catalogue.create(folder)
    audio_s, spent = index(catalogue, tracks)
    figures = {"x_real_time": audio_s / spent, **catalogue.stats()}
    (folder / "whole").write_text(json.dumps(figures))
    return catalogue


def index(catalogue: Catalogue, tracks: list[Path]) -> tuple[float, float]:
    """Add tracks; return the seconds of audio and of CPU."""
    audio_s = spent = 0.0
    for path in tracks:
        samples = load(path)
        start = time.process_time()
        try:
            catalogue.add(samples, Track(path.stem))
        except CatalogueError as error:
            print(f"left out: {error}")
        spent += time.process_time() - start
        audio_s += len(samples) / RATE
    start = time.process_time()
    catalogue.merge()
    return audio_s, spent + time.process_time() - start


def chromaprint(tracks: list[Path], work: Path) -> Query:
    """Return a query function of Chromaprint: the lowest bit error rate at any offset.

    The fingerprints are fpcalc's; comparing them bit by bit at every offset is how its authors
    compare two, without the index in front that AcoustID has. Silence has one value only, and
    is like any other silence: where fewer than half the values of a query, or of a place in a
    track, differ from the one before, nothing is compared.
    """
    stored = work / "chromaprint.npz"
    if not stored.exists():
        whole = {path.stem: _fpcalc(np.load(path, mmap_mode="r")) for path in tracks}
        np.savez(stored, **whole)
    with np.load(stored) as arrays:
        keys = list(arrays)
        line = np.concatenate([arrays[key] for key in keys])
        starts = np.cumsum([0, *(len(arrays[key]) for key in keys)])
    which = np.repeat(np.arange(len(keys)), np.diff(starts))
    changes = np.cumsum(np.diff(line, prepend=line[:1]) != 0)

    def run_queries(queries: Sequence[NDArray[np.int16]]) -> list[QueryResult]:
        out = []
        for query in queries:
            start = cpu_s()
            bits = _fpcalc(query)
            if 2 * np.count_nonzero(np.diff(bits)) < len(bits) or not len(bits):
                out.append({"answers": [], "cpu_s": cpu_s() - start})
                continue
            places = len(line) - len(bits) + 1
            wrong = np.zeros(places, np.uint16)
            silent = 2 * (changes[len(bits) - 1 :] - changes[:places]) < len(bits)
            for index, value in enumerate(bits):
                wrong += np.bitwise_count(line[index : index + places] ^ value)
            wrong[silent] = 32 * len(bits)
            best = int(wrong.argmin())
            share = float(wrong[best]) / (32 * len(bits))
            track = int(which[best])
            place = round((best - int(starts[track])) * _CHROMAPRINT_STEP_S * RATE)
            out.append({"answers": [(keys[track], place, 1 - share)], "cpu_s": cpu_s() - start})
        return out

    return run_queries


def audfprint(tracks: list[Path], work: Path, *, density: float = 20.0) -> Query:
    """Return a query function of audfprint2, run in its own virtual environment in `work`.

    `density` is that of hashes, in a second; 20 is its command line's default.
    """
    python = work / "audfprint-venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *_AUDFPRINT], check=True)
    script = Path(__file__).with_name("audfprint_runner.py")
    stored = work / f"audfprint-{density:g}.pklz"
    command = [python, script, stored, str(density)]
    if not stored.exists():
        subprocess.run([*command, "index", *tracks], check=True)

    def run_queries(queries: Sequence[NDArray[np.int16]]) -> list[QueryResult]:
        with tempfile.NamedTemporaryFile(suffix=".npy") as file:
            np.save(file, np.stack(queries))
            file.flush()
            done = subprocess.run(
                [*command, "query", file.name], check=True, stdout=subprocess.PIPE
            )
        found: list[QueryResult] = json.loads(done.stdout)
        return found

    return run_queries


def _fpcalc(samples: NDArray[np.int16]) -> NDArray[np.uint32]:
    if shutil.which("fpcalc") is None:
        raise AirsiftError("fpcalc is not there; run `apt-get install libchromaprint-tools`")
    command = ["fpcalc", "-raw", "-plain", "-length", "0", "-format", "s16le"]
    command += ["-rate", str(RATE), "-channels", "1", "-"]
    done = subprocess.run(command, input=samples.tobytes(), capture_output=True, check=False)
    text = done.stdout.decode().strip()
    return np.array(text.split(",") if text else [], np.uint32)


def cpu_s() -> float:
    """Return the CPU seconds of this process and of those it has waited for."""
    own, others = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


MATCHERS = {
    "airsift": airsift,
    "Chromaprint": chromaprint,
    "audfprint": audfprint,
    PAIRWISE: pairwise,
}
