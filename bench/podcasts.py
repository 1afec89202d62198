"""Benchmark of chapters: made episodes of a series, whose chapters are known.

``python -m bench.podcasts CORPUS`` makes five episodes of an hour from a corpus of `airsift corpus
build`, reads them as `airsift chapters --series` does, and compares the chapters with the truth.

An episode has an opening, talk, songs, breaks of one to three adverts, and a closing; stings stand
before some of its parts. Opening, stings, adverts and closing come back in the other episodes, each
time at another level (3 dB up or down); talk and songs are in one episode each. All of it is music
and speech of the corpus's test sources, and of others where these are used up. An episode is one
MP3 of 128 kb/s. What the network, the repeat finder and the rules of chapters do was chosen without
these episodes.

``--split train``    other sources
``--write-docs``     puts the tables into docs/podcasts.md
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from airsift.build import build_pipeline
from airsift.config import load
from airsift.podcasts.series import Series
from bench.matching.music import default_folder
from bench.matching.repeat_programme import RATE, Material
from bench.report import Report, arguments, machine, table_lines, write_section
from fingerprint.analysis.track_landmarks import LandmarkExtractor
from fingerprint.catalogue import Catalogue
from fingerprint.repeats.alignment import BLOCK
from fingerprint.repeats.finder import RepeatFinder
from fingerprint.repeats.naming import Stored, add_to
from fingerprint.repeats.store import Store
from fingerprint.settings import HOP
from stream.sources.file import read_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from airsift.podcasts.chapters import Chapter

    Samples = NDArray[np.float32]

PAGE = Path(__file__).parents[1] / "docs" / "podcasts.md"
_SCRIPT = "bench/podcasts.py"
_STINGS, _ADVERTS = 3, 6
_RUNS = 3  # of the command: the shortest time, and the median CPU
_TOLERANCES_S = (1.0, 3.0)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an episode: kind, the repeated piece if it is one, and its seconds."""

    kind: str
    piece: str
    start_s: float
    end_s: float


class Show:
    """The pieces that come back in every episode, and what makes an episode of them."""

    def __init__(self, material: Material) -> None:
        self.material, self.random = material, material.random
        self.pieces = {"opening": self._jingle(10.0), "closing": self._jingle(14.0)}
        for number in range(_STINGS):
            self.pieces[f"sting {number + 1}"] = self._jingle(float(self.random.uniform(4, 7)))
        for number in range(_ADVERTS):
            seconds = float(self.random.uniform(15, 40))
            voice = material.take("speech", seconds)
            if number % 3:
                music = material.take("music", len(voice) / RATE)
                voice[: len(music)] += music * np.float32(10 ** (self.random.uniform(-15, -3) / 20))
            self.pieces[f"advert {number + 1}"] = _faded(voice)

    def episode(self, seconds: float) -> tuple[Samples, list[Part]]:
        """Return an episode of about this length, and its parts."""
        made: list[Samples] = []
        parts: list[Part] = []
        at = 0

        def put(kind: str, samples: Samples, piece: str = "") -> None:
            nonlocal at
            made.append(samples)
            parts.append(Part(kind, piece, at / RATE, (at + len(samples)) / RATE))
            at += len(samples)

        def repeat(kind: str, piece: str) -> None:
            level = np.float32(10 ** (self.random.uniform(-3, 3) / 20))
            put(kind, self.pieces[piece] * level, piece)

        repeat("jingle", "opening")
        while at / RATE < seconds - 120:
            put("talk", self.material.take("speech", float(self.random.uniform(180, 480))))
            after = str(self.random.choice(["sting", "break", "song"], p=[0.45, 0.3, 0.25]))
            if after == "sting":
                repeat("jingle", f"sting {self.random.integers(_STINGS) + 1}")
            elif after == "break":
                count = int(self.random.integers(1, 4))
                for number in self.random.permutation(_ADVERTS)[:count]:
                    repeat("advert", f"advert {number + 1}")
                    put("pause", np.zeros(round(self.random.uniform(0.2, 1.0) * RATE), np.float32))
            else:
                song = self.material.take("music", float(self.random.uniform(90, 220)))
                while len(song) < 60 * RATE:
                    song = self.material.take("music", float(self.random.uniform(90, 220)))
                put("song", _faded(song))
        put("talk", self.material.take("speech", 60.0))
        repeat("jingle", "closing")
        return np.concatenate(made), parts

    def _jingle(self, seconds: float) -> Samples:
        return _faded(self.material.take("music", seconds))


def main() -> None:
    parser = arguments(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument(
        "--work", type=Path, default=default_folder() / "podcasts", metavar="FOLDER"
    )
    parser.add_argument("--episodes", type=int, default=5, metavar="N")
    parser.add_argument("--minutes", type=int, default=60, metavar="N")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test")
    parser.add_argument("--seed", type=int, default=19)
    parser.add_argument("--list", action="store_true", help="print the chapters and the truth")
    parser.add_argument("--write-docs", action="store_true", help="into docs/podcasts.md")
    options = parser.parse_args()
    truth = make(options)
    report = Report("chapters")
    with tempfile.TemporaryDirectory() as folder:
        found, named = chapters(truth, Path(folder), list_them=options.list)
        costs = costs_of(next(iter(truth)), Path(folder))
    figures = score(found, truth)
    report.row("chapters", **figures)
    report.row("names", **named)
    report.row("costs", **costs)
    if options.write_docs:
        write(options, truth, figures, named, costs)
    report.finish(options.json)


def make(options: argparse.Namespace) -> dict[Path, list[Part]]:
    """Return the episodes and their parts; make what is not stored yet."""
    folder = options.work / f"{options.split}-{options.episodes}x{options.minutes}-{options.seed}"
    about = folder / "parts.json"
    if not about.exists():
        folder.mkdir(parents=True, exist_ok=True)
        show = Show(Material(options.corpus, options.split, np.random.default_rng(options.seed)))
        made = {}
        for number in range(1, options.episodes + 1):
            samples, parts = show.episode(options.minutes * 60)
            name = f"{number:02}.mp3"
            encode(folder / name, samples)
            made[name] = [asdict(part) for part in parts]
        about.write_text(json.dumps(made), encoding="utf-8")
    stored = json.loads(about.read_text(encoding="utf-8"))
    return {folder / name: [Part(**each) for each in parts] for name, parts in stored.items()}


def encode(path: Path, samples: Samples) -> None:
    """Write an episode as MP3 of 44.1 kHz."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=44_100, layout="mono")
        stream.bit_rate = 128_000
        resampler = av.AudioResampler("fltp", "mono", 44_100)
        for start in range(0, len(samples), RATE):
            part = np.ascontiguousarray(samples[start : start + RATE]).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(np.clip(part, -1, 1), "flt", "mono")
            frame.sample_rate, frame.pts = RATE, start
            for each in resampler.resample(frame):
                container.mux(stream.encode(each))
        for each in resampler.resample(None):
            container.mux(stream.encode(each))
        container.mux(stream.encode(None))


def chapters(
    truth: dict[Path, list[Part]], folder: Path, *, list_them: bool
) -> tuple[dict[Path, list[Chapter]], dict[str, float]]:
    """Return the chapters of all episodes, and how the names of jingles came back in them."""
    config = load(sets=["model.voice=false"]).config
    series = Series("show", folder / "store")
    began = time.process_time()
    series.add(list(truth), lambda: build_pipeline(config))
    read_s = (time.process_time() - began) / sum(parts[-1].end_s for parts in truth.values())
    found = {path: series.chapters(path, config.podcasts) for path in truth}
    catalogue = Catalogue.create(folder / "names")
    names: dict[str, str] = {}
    for path, parts in truth.items():
        repeats = series.repeats(path, series.returning())
        for part in parts:
            if part.kind != "jingle" or part.piece in names:
                continue
            close = [
                each
                for each in series.returning()
                for one in series.repeats(path, [each])
                if _overlap((one.start_s, one.end_s), (part.start_s, part.end_s)) > 0.7
            ]
            if close and repeats:
                add_to(
                    catalogue,
                    Stored("show", series.store, close[0].cluster),
                    part.piece,
                    "",
                    "jingle",
                )
                names[part.piece] = close[0].cluster.id
    played = recognised = wrong = 0
    for path, parts in truth.items():
        with_names = series.chapters(path, config.podcasts, catalogue)
        jingles = [part for part in parts if part.kind == "jingle"]
        for part in jingles:
            played += 1
            recognised += any(
                each.title == part.piece and abs(each.start_s - part.start_s) < _TOLERANCES_S[0]
                for each in with_names
            )
        for each in with_names:
            if each.title in names and not any(
                part.piece == each.title and abs(part.start_s - each.start_s) < _TOLERANCES_S[0]
                for part in jingles
            ):
                wrong += 1
        if list_them:
            print(path)
            for each in with_names:
                print(f"  {each.start_s:8.1f} {each.title}")
            for part in parts:
                if part.kind != "pause":
                    print(f"      true {part.start_s:8.1f} {part.kind} {part.piece}")
    return found, {
        "jingles_played": played,
        "jingles_named": recognised,
        "named_wrongly": wrong,
        "cpu_s_per_hour": 3600 * read_s,
    }


def score(found: dict[Path, list[Chapter]], truth: dict[Path, list[Part]]) -> dict[str, float]:
    """Return precision and recall of the begins of chapters, and of the time of adverts."""
    counts = {tolerance: [0, 0, 0, 0] for tolerance in _TOLERANCES_S}
    offsets: list[float] = []
    times = {"advert": [0.0, 0.0, 0.0], "music": [0.0, 0.0, 0.0]}
    hidden_talk = right = total = 0.0
    for path, parts in truth.items():
        true = _boundaries(parts)
        mine = [each.start_s for each in found[path][1:]]
        for tolerance, row in counts.items():
            pairs = _paired(mine, true, tolerance)
            row[0] += len(pairs)
            row[1] += len(mine)
            row[2] += len(true)
            if tolerance == _TOLERANCES_S[-1]:
                offsets += [abs(a - b) for a, b in pairs]
        length = round(parts[-1].end_s * 10)
        kinds, here = np.full(length, "talk", dtype="<U6"), np.full(length, "talk", dtype="<U6")
        for part in parts:
            kind = {"song": "music", "advert": "advert"}.get(part.kind, "talk")
            kinds[round(part.start_s * 10) : round(part.end_s * 10)] = kind
        for each in found[path]:
            here[round(each.start_s * 10) : round(each.end_s * 10)] = each.kind
        for kind, row in times.items():
            row[0] += float(((kinds == kind) & (here == kind)).sum())
            row[1] += float((here == kind).sum())
            row[2] += float((kinds == kind).sum())
        hidden_talk += float(((kinds == "talk") & (here == "advert")).sum())
        right += float((kinds == here).sum())
        total += length
    figures: dict[str, float] = {
        "hours": total / 36_000,
        "chapters": counts[1.0][1] + len(truth),
        "boundaries": counts[1.0][2],
    }
    for tolerance, (hits, mine_, true_, _) in counts.items():
        figures[f"precision_{tolerance:g}_s"] = hits / max(mine_, 1)
        figures[f"recall_{tolerance:g}_s"] = hits / max(true_, 1)
    figures["median_offset_s"] = statistics.median(offsets) if offsets else 0.0
    for kind, (both, mine_s, true_s) in times.items():
        figures[f"{kind}_precision"] = both / max(mine_s, 1)
        figures[f"{kind}_recall"] = both / max(true_s, 1)
    figures["talk_hidden_s"] = hidden_talk / 10
    figures["time_right"] = right / total
    return figures


def _boundaries(parts: list[Part]) -> list[float]:
    """Return where chapters begin: at jingles, and where the kind changes."""
    found: list[float] = []
    before = ""
    for part in parts:
        if part.kind == "pause":
            continue
        kind = "talk" if part.kind == "jingle" else part.kind
        if part.kind == "jingle" or (kind != before and before):
            found.append(part.start_s)
        before = kind
    return [each for each in found if each > 0]


def _paired(mine: list[float], true: list[float], tolerance: float) -> list[tuple[float, float]]:
    """Return pairs of begins, each in one pair at most, the nearest first."""
    near = sorted(
        (abs(a - b), i, j)
        for i, a in enumerate(mine)
        for j, b in enumerate(true)
        if abs(a - b) <= tolerance
    )
    used_mine, used_true, pairs = set[int](), set[int](), []
    for _, i, j in near:
        if i not in used_mine and j not in used_true:
            used_mine.add(i)
            used_true.add(j)
            pairs.append((mine[i], true[j]))
    return pairs


def costs_of(path: Path, folder: Path) -> dict[str, float]:
    """Return the seconds of `airsift chapters` for one episode, and of its repeats alone."""
    command = [sys.executable, "-m", "airsift", "chapters", str(path)]
    walls, spent = list[float](), list[float]()
    for _ in range(_RUNS):
        before, began = _children_s(), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        walls.append(time.perf_counter() - began)
        spent.append(_children_s() - before)
    samples = read_file(path)
    began = time.process_time()
    extractor = LandmarkExtractor()
    extractor.push(samples)
    landmarks = extractor.finish()
    landmarks_s = time.process_time() - began
    began = time.process_time()
    finder = RepeatFinder("one", Store(folder / "alone"), 0, 36_500.0)
    last = landmarks.end // HOP
    for at in range(0, last, BLOCK):
        finder.add(landmarks.between(at * HOP, min(at + BLOCK, last) * HOP))
    finder.finish()
    return {
        "minutes": len(samples) / RATE / 60,
        "wall_s": min(walls),
        "cpu_s": statistics.median(spent),
        "landmarks_cpu_s": landmarks_s,
        "repeats_cpu_s": time.process_time() - began,
    }


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def write(
    options: argparse.Namespace,
    truth: dict[Path, list[Part]],
    figures: dict[str, float],
    named: dict[str, float],
    costs: dict[str, float],
) -> None:
    """Put the figures into the page."""
    rows = [
        (f"begins of chapters within {each:g} s, precision and recall",
         f"{figures[f'precision_{each:g}_s']:.1%}, {figures[f'recall_{each:g}_s']:.1%}")
        for each in _TOLERANCES_S
    ]  # fmt: skip
    rows += [
        ("median distance of a begin", f"{figures['median_offset_s']:.2f} s"),
        ("time of adverts, precision and recall",
         f"{figures['advert_precision']:.1%}, {figures['advert_recall']:.1%}"),
        ("time of songs, precision and recall",
         f"{figures['music_precision']:.1%}, {figures['music_recall']:.1%}"),
        ("talk that is hidden with adverts", f"{figures['talk_hidden_s']:.0f} s"),
        ("time with the right kind", f"{figures['time_right']:.1%}"),
        ("jingles that have their name, of those played",
         f"{named['jingles_named']:.0f} of {named['jingles_played']:.0f}"),
        ("names at other places", f"{named['named_wrongly']:.0f}"),
        (f"`airsift chapters` for one episode of {costs['minutes']:.0f} min",
         f"{costs['wall_s']:.1f} s, {costs['cpu_s']:.1f} s of CPU"),
        ("of this, repeats within the episode",
         f"{costs['landmarks_cpu_s']:.1f} s of CPU for landmarks, "
         f"{costs['repeats_cpu_s']:.1f} s for the search"),
        ("reading all episodes as a series, an hour", f"{named['cpu_s_per_hour']:.1f} s of CPU"),
    ]  # fmt: skip
    host = machine()
    body = "\n".join([
        f"{len(truth)} made episodes, {figures['hours']:.1f} h, {figures['chapters']:.0f} "
        f"chapters; {figures['boundaries']:.0f} true begins besides those at 0.",
        "",
        *table_lines(("figure", "measured"), rows),
        "",
        f"{host['cpu']}, {host['cores']} cores, load {host['load']}.",
    ])  # fmt: skip
    write_section(PAGE, _SCRIPT, body)


def _faded(samples: Samples) -> Samples:
    n = min(round(0.05 * RATE), len(samples) // 2)
    out = samples.copy()
    ramp = np.linspace(0, 1, n, dtype=np.float32)
    out[:n] *= ramp
    out[len(out) - n :] *= ramp[::-1]
    return out


def _overlap(a: tuple[float, float], b: tuple[float, float]) -> float:
    common = min(a[1], b[1]) - max(a[0], b[0])
    return common / max(max(a[1], b[1]) - min(a[0], b[0]), 1e-9)


if __name__ == "__main__":
    main()
