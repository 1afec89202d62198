"""Benchmark of repeats: spots that are played several times in a made programme.

``python -m bench.matching.repeats CORPUS`` makes a programme of 24 h from a corpus of `airsift
corpus build` (see `bench.matching.repeat_programme`), finds its repeats, and compares them with the
truth. The programme (2.8 GB) and its landmarks are stored under ``--work`` and reused.

The corpus itself has recordings that share audio. So a pair of which the truth knows nothing is
false only if its two waveforms differ, see `correlation`.

``--split train``    for choosing constants; the default, test, is for the figures
``--hours 4``        a shorter programme
``--days 1 10 100``  windows for the costs; days after the first are the first one, in other pitches
``--write-docs``     puts the tables into docs/repeats.md
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

from bench.matching.music import default_folder
from bench.matching.repeat_programme import RATE, Material, Playing, Programme
from bench.report import Report, arguments, machine, write_section
from fingerprint.analysis.landmarks import Landmarks
from fingerprint.analysis.track_landmarks import LandmarkExtractor
from fingerprint.repeats.alignment import BLOCK
from fingerprint.repeats.finder import RepeatFinder
from fingerprint.repeats.store import DAY, Store
from fingerprint.settings import HOP, N_BINS, STORED_RANK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.repeats.clusters import Cluster, Occurrence

PAGE = Path(__file__).parents[2] / "docs" / "repeats.md"
_SCRIPT = "bench/matching/repeats.py"
_HOUR = 3600 * RATE
_SPOTS_A_DAY = 60
_BLOCK = BLOCK * HOP  # samples
_SAME = 0.5  # correlation of two waveforms that are one recording


@dataclass(frozen=True, slots=True)
class Made:
    """A programme: landmarks by hours, playings, CPU seconds of the landmarks, and the audio."""

    hours: list[Landmarks]
    playings: list[Playing]
    seconds: float
    audio: NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Figures:
    """What was found of a programme."""

    hours: float
    spots: int
    playings: int
    found: int
    within: int
    pairs: int
    not_in_truth: int
    false_pairs: int
    clusters: int


def main() -> None:
    parser = arguments(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("--work", type=Path, default=default_folder() / "repeats", metavar="FOLDER")
    parser.add_argument("--hours", type=int, default=24, metavar="H")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test")
    parser.add_argument("--days", type=int, nargs="*", default=[1, 10, 100], metavar="N")
    parser.add_argument("--list", action="store_true", help="print what was missed and was false")
    parser.add_argument("--write-docs", action="store_true", help="into docs/repeats.md")
    options = parser.parse_args()
    made = make(options.corpus, options.split, options.hours, options.work)
    report = Report("repeats")
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        finder, delays = find(made.hours, Path(folder))
        seconds = time.process_time() - began
        figures = score(finder.clusters.all(), made, list_them=options.list)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        costs: dict[str, float] = {
            "landmarks_s_per_hour": made.seconds / figures.hours,
            "repeats_s_per_hour": seconds / figures.hours,
            "mb_of_disk_per_day": size / 1e6 / figures.hours * 24,
            "first_s": first_delay(made.playings, delays),
        }
    report.row("found", **{name: float(value) for name, value in asdict(figures).items()})
    report.row("costs", **costs)
    windows = [(days, *window_costs(made.hours, days)) for days in options.days]
    for days, hour_s, mb in windows:
        report.row(f"window of {days} days", s_per_hour=hour_s, mb=mb)
    if options.write_docs:
        write(figures, costs, windows)
    report.finish(options.json)


def make(corpus: Path, split: str, hours: int, work: Path) -> Made:
    """Return the programme; make what is not stored yet."""
    folder = work / f"{split}-{hours}"
    folder.mkdir(parents=True, exist_ok=True)
    about, raw = folder / "playings.json", folder / "audio.raw"
    if not about.exists() or not raw.exists():
        material = Material(corpus, split, np.random.default_rng(hours))
        programme = Programme(material, hours, max(_SPOTS_A_DAY * hours // 24, 8))
        extractor, seconds = LandmarkExtractor(), 0.0
        partial = raw.with_suffix(".part")
        with partial.open("wb") as file:
            for piece in programme.pieces():
                file.write((np.clip(piece, -1, 1) * 32767).astype(np.int16).tobytes())
                began = time.process_time()
                extractor.push(piece)
                seconds += time.process_time() - began
        partial.rename(raw)
        began = time.process_time()
        landmarks = extractor.finish().strongest(STORED_RANK)
        seconds += time.process_time() - began
        for hour in range(-(-landmarks.end // _HOUR)):
            part = landmarks.between(hour * _HOUR, (hour + 1) * _HOUR)
            (folder / f"{hour:03}.txt").write_text(part.pack(), encoding="ascii")
        playings = [asdict(each) for each in programme.playings]
        about.write_text(json.dumps({"playings": playings, "seconds": seconds}), encoding="utf-8")
    stored = json.loads(about.read_text(encoding="utf-8"))
    parts = sorted(folder.glob("*.txt"))
    return Made(
        [Landmarks.unpack(path.read_text(encoding="ascii")) for path in parts],
        [Playing(**each) for each in stored["playings"]],
        stored["seconds"],
        np.memmap(raw, np.int16, "r"),
    )


def find(hours: list[Landmarks], folder: Path) -> tuple[RepeatFinder, list[tuple[int, int]]]:
    """Return the finder after a programme, and (end of an occurrence, sample of its report)."""
    finder = RepeatFinder("programme", Store(folder), 0, 7)
    delays: list[tuple[int, int]] = []
    landmarks = Landmarks.join(hours)
    end = landmarks.end // HOP * HOP
    for start in range(0, end, _BLOCK):
        part = landmarks.between(start, min(start + _BLOCK, end))
        delays += [(each.end * HOP, part.end) for each in finder.add(part)]
    delays += [(each.end * HOP, end) for each in finder.finish()]
    return finder, delays


def score(clusters: list[Cluster], made: Made, *, list_them: bool = False) -> Figures:
    """Compare clusters with the truth.

    A playing of a repeated spot is found if an occurrence covers half of it and no more than twice
    its length. A pair of occurrences of one cluster is false if they are not of one spot.
    """
    times = Counter(each.spot for each in made.playings)
    repeated = [each for each in made.playings if times[each.spot] > 1]
    errors: dict[Playing, float] = {}
    pairs = unknown = false = 0
    for cluster in clusters:
        spots = []
        for occurrence in cluster.occurrences:
            playing = _playing_of(occurrence, made.playings)
            spots.append(None if playing is None else playing.spot)
            if playing is None:
                continue
            start, end = occurrence.start * HOP, occurrence.end * HOP
            if end - start > 2 * (playing.end - playing.start):
                continue
            error = max(abs(start - playing.start), abs(end - playing.end)) / RATE
            errors[playing] = min(error, errors.get(playing, error))
        others = [
            (a, b)
            for a, first in zip(cluster.occurrences, spots, strict=True)
            for b, second in zip(cluster.occurrences, spots, strict=True)
            if b.start < a.start and (first is None or first != second)
        ]
        alike = [correlation(made.audio, a, b) for a, b in others]
        wrong = sum(each < _SAME for each in alike)
        unknown += len(others)
        pairs += len(spots) * (len(spots) - 1) // 2
        false += wrong
        if others and list_them:
            places = [round(each.start * HOP / RATE, 1) for each in cluster.occurrences]
            length = cluster.length * HOP / RATE
            rounded = [round(each, 2) for each in alike]
            print(
                f"false: {length:.1f} s, share {cluster.share:.2f}, at {places}, spots {spots}, "
                f"correlation {rounded}"
            )
    if list_them:
        for each in repeated:
            length = (each.end - each.start) / RATE
            if errors.get(each, 9.0) > 0.5:
                error = f"{errors[each]:.2f} s off" if each in errors else "missed"
                where = f"{each.start / RATE:.1f} s, {length:.1f} s long"
                print(f"spot {each.spot} ({times[each.spot]} times): {where}: {error}")
    found = [errors[each] for each in repeated if each in errors]
    return Figures(
        made.hours[-1].end / _HOUR,
        sum(n > 1 for n in times.values()),
        len(repeated),
        len(found),
        sum(error <= 0.5 for error in found),
        pairs,
        unknown,
        false,
        len(clusters),
    )


def correlation(audio: NDArray[np.int16], a: Occurrence, b: Occurrence) -> float:
    """Return the correlation of the samples of two occurrences, 0 to 1.

    It is high for two codings of one recording, and low for two recordings of one tune. Ten seconds
    in the middle are compared, and the lag is searched within a tenth of a second.
    """
    middle = (a.end - a.start) // 2 * HOP
    half, reach = min(middle, 5 * RATE), RATE // 10
    here, there = a.start * HOP + middle, b.start * HOP + middle
    x = audio[here - half : here + half].astype(np.float64)
    y = audio[max(there - half - reach, 0) : there + half + reach].astype(np.float64)
    if not len(x) or len(y) < len(x):
        return 0.0
    cross = signal.correlate(y, x, "valid", method="fft")
    energy = np.cumsum(np.concatenate([[0.0], np.square(y)]))
    power = np.maximum(energy[len(x) :] - energy[: len(cross)], 1e-9) * max(
        np.square(x).sum(), 1e-9
    )
    return float(np.abs(cross / np.sqrt(power)).max())


def first_delay(playings: list[Playing], delays: list[tuple[int, int]]) -> float:
    """Return the median seconds from the end of a spot to its report."""
    waits = [
        (reported - each.end) / RATE
        for each in playings
        for end, reported in delays
        if abs(end - each.end) < 2 * RATE
    ]
    return float(np.median(waits)) if waits else float("nan")


def window_costs(hours: list[Landmarks], days: int) -> tuple[float, float]:
    """Return CPU seconds to search an hour behind `days` days, and megabytes of the process.

    The days are the programme again and again, each in another pitch: as many pairs, as unevenly
    spread, and nothing of it repeats.
    """
    day = Landmarks.join(hours)
    length = day.end // HOP
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        frame, bin_ = day.time // HOP, np.rint(day.bin).astype(np.int64)
        paired = day.rank < 3
        copies = round(days * DAY / length)
        for number in range(copies):
            moved = (bin_ + 2 * number + 2) % N_BINS
            store.add(frame + number * length, moved, paired)
        start = -(-copies * length // BLOCK) * BLOCK
        before = _resident_mb()
        finder = RepeatFinder("programme", store, start * HOP, days + 1)
        hour = hours[0]
        some = hour.between(hour.start, min(hour.end, hour.start + _HOUR) // HOP * HOP)
        began = time.process_time()
        for at in range(some.start, some.end, _BLOCK):
            finder.add(some.between(at, min(at + _BLOCK, some.end)).shift(start * HOP - some.start))
        seconds = time.process_time() - began
        return seconds * _HOUR / max(some.end - some.start, 1), _resident_mb() - before


def write(
    figures: Figures, costs: dict[str, float], windows: list[tuple[int, float, float]]
) -> None:
    """Replace the text between the two marks."""
    write_section(PAGE, _SCRIPT, _tables(figures, costs, windows))


def _tables(
    figures: Figures, costs: dict[str, float], windows: list[tuple[int, float, float]]
) -> str:
    found = 100 * figures.found / max(figures.playings, 1)
    within = 100 * figures.within / max(figures.found, 1)
    false = 100 * figures.false_pairs / max(figures.pairs, 1)
    more = figures.not_in_truth - figures.false_pairs
    host = machine()
    rows = [
        f"{figures.hours:.1f} h of made programme, {figures.spots} spots that are played more than",
        f"once, {figures.playings} playings of them; {figures.clusters} clusters.",
        "",
        "| figure | asked | measured |",
        "| --- | --- | --- |",
        f"| playings found | 95 % | {found:.1f} % |",
        f"| both borders within 0.5 s, of those | 80 % | {within:.1f} % |",
        f"| false pairs, of {figures.pairs} | 2 % | {false:.1f} % |",
        f"| pairs that are no spots, but one recording twice | | {more} |",
        f"| landmarks, CPU per hour of audio | | {costs['landmarks_s_per_hour']:.1f} s |",
        f"| finding repeats, CPU per hour of audio | | {costs['repeats_s_per_hour']:.2f} s |",
        f"| from the end of a spot to its event, median | | {costs['first_s']:.0f} s of audio |",
        f"| disk for a station and day | | {costs['mb_of_disk_per_day']:.1f} MB |",
        "",
        "| window | finding repeats, CPU per hour of audio | memory |",
        "| --- | --- | --- |",
    ]
    rows += [f"| {days} days | {s:.2f} s | {mb:.0f} MB |" for days, s, mb in windows]
    rows += ["", f"{host['cpu']}, one thread, load {host['load']}."]
    return "\n".join(rows)


def _playing_of(occurrence: Occurrence, playings: list[Playing]) -> Playing | None:
    """Return the playing of which an occurrence covers half, if there is one."""
    start, end = occurrence.start * HOP, occurrence.end * HOP
    best, common = None, 0
    for each in playings:
        shared = min(end, each.end) - max(start, each.start)
        if shared > common and shared >= 0.5 * (each.end - each.start):
            best, common = each, shared
    return best


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


if __name__ == "__main__":
    main()
