"""Benchmark of ``airsift tags check``: planted wrong tags in a catalogue made of held-out audio.

::

    python -m bench.tags corpus/                     # of the test split
    python -m bench.tags corpus/ --split validation  # for choosing the threshold
    python -m bench.tags corpus/ --write-docs        # into docs/tags.md
    python -m bench.tags corpus/ --jobs 1 2 --write-docs   # the throughput instead

The corpus is one of `airsift corpus build`. Half of the files are speech: voices alone, and
podcasts with a musical opener and music under a part of the talk. Half are music, a third of it
songs. Formats and lengths (10 s to 5 min) vary. One tag in ten is of the other class.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import av
import numpy as np

from airsift.config import load
from airsift.tags.analysis import analyse, build_analysis
from airsift.tags.catalogue import Entry
from airsift.tags.judging import THRESHOLD, Verdict
from airsift.tags.mapping import Claim, load_map
from bench.matching.broadcast import excerpt, levelled, samples_in, talk
from bench.report import Report, arguments, machine, table_lines, write_section
from model.corpus.takes import split_recordings
from model.spec import SAMPLE_RATE as RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from model.corpus.recordings import Recording
    from model.corpus.sources import Split

    Samples = NDArray[np.float32]

PAGE = Path(__file__).parents[1] / "docs" / "tags.md"
_SCRIPT = "bench/tags.py"
SEEDS = {"validation": 11, "test": 12}
TAGS = {
    Claim.speech: ("Audiobook", "Podcast", "Hörbuch", "Spoken Word", "Speech"),
    Claim.music: ("Rock", "Classical", "Electronic", "Pop/Rock", "Soundtrack", "Jazz", "Folk"),
}
LENGTHS_S = (10.0, 300.0)
WRONG = 0.1
PODCASTS = 0.3  # of the files of speech
SONGS = 1 / 3  # of the files of music
OPENER_S, BED_DB = 8.0, -10.0
FORMATS = (
    ("mp3", "libmp3lame"),
    ("wav", "pcm_s16le"),
    ("opus", "libopus"),
    ("m4a", "aac"),
    ("flac", "flac"),
)
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True, slots=True)
class Made:
    """A file of the catalogue: its truth, its tag, and what it is made of."""

    path: Path
    truth: Claim
    tag: str
    claim: Claim
    kind: str

    @property
    def is_wrong(self) -> bool:
        return self.claim is not self.truth


class Maker:
    """Makes files from the recordings of one split."""

    def __init__(self, corpus: Path, split: Split, seed: int) -> None:
        self._corpus = corpus
        self._random = np.random.default_rng(seed)
        recordings = split_recordings(corpus, split)
        self._music = _of(recordings, "music", 15.0)
        self._songs = _of(recordings, "singing", 10.0)
        speech = _of(recordings, "speech", 0.8)
        # As many files of each source, whatever its size.
        self._voices: dict[str, list[list[Recording]]] = {}
        for group in sorted({each.group for each in speech}):
            voice = [each for each in speech if each.group == group]
            if sum(each.end - each.start for each in voice) >= 20 * RATE:
                self._voices.setdefault(voice[0].source, []).append(voice)

    def catalogue(self, count: int, folder: Path) -> list[Made]:
        """Write the files and ``catalogue.csv``; return the truth."""
        wrong = set(self._random.permutation(count)[: round(WRONG * count)].tolist())
        made = []
        for number in range(count):
            truth = Claim.speech if number % 2 else Claim.music
            claim = truth.other if number in wrong else truth
            tag = TAGS[claim][int(self._random.integers(len(TAGS[claim])))]
            seconds = float(np.exp(self._random.uniform(*np.log(LENGTHS_S))))
            kind, samples = self._file(truth, seconds)
            suffix, codec = FORMATS[int(self._random.integers(len(FORMATS)))]
            path = folder / f"{number:04}.{suffix}"
            _write(path, samples, codec, tag)
            made.append(Made(path, truth, tag, claim, kind))
        with (folder / "catalogue.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(
                [("path", "genre"), *((each.path.name, each.tag) for each in made)]
            )
        return made

    def _file(self, truth: Claim, seconds: float) -> tuple[str, Samples]:
        if truth is Claim.music:
            is_song = self._random.random() < SONGS
            tracks = self._songs if is_song else self._music
            return ("song" if is_song else "music"), self._excerpt(tracks, seconds)
        voices = self._voices[self._pick(sorted(self._voices))]
        voice = voices[int(self._random.integers(len(voices)))]
        clips = [
            levelled(samples_in(self._corpus, voice[int(place)]))
            for place in self._random.permutation(len(voice))[:200]
        ]
        samples = talk(clips, round(seconds * RATE), self._random)
        if self._random.random() >= PODCASTS:
            return "voice", samples
        opener = levelled(self._excerpt(self._music, OPENER_S))
        bed = levelled(self._excerpt(self._music, seconds * self._random.uniform(0.1, 0.3)), BED_DB)
        bed = bed[: len(samples)]
        at = int(self._random.integers(len(samples) - len(bed) + 1))
        samples[at : at + len(bed)] += bed
        return "podcast", np.concatenate([opener, samples])

    def _excerpt(self, tracks: Sequence[Recording], seconds: float) -> Samples:
        track = tracks[int(self._random.integers(len(tracks)))]
        return levelled(excerpt(samples_in(self._corpus, track), seconds, self._random))

    def _pick(self, names: Sequence[str]) -> str:
        return names[int(self._random.integers(len(names)))]


def main() -> None:
    parser = arguments(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--split", choices=tuple(SEEDS), default="test")
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=60.0, help="as of the command")
    parser.add_argument("--list", action="store_true", help="every file that is judged wrongly")
    parser.add_argument(
        "--jobs", type=int, nargs="+", default=[], help="measure the command with each of these"
    )
    parser.add_argument("--rounds", type=int, default=3, help="with --jobs, one after the other")
    parser.add_argument("--write-docs", action="store_true", help="into docs/tags.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="airsift-bench-") as folder:
        maker = Maker(options.corpus, options.split, SEEDS[options.split])
        made = maker.catalogue(options.files, Path(folder))
        verdicts, cpu_s, wall_s = _analyse(made, options.seconds)
        speeds = _throughput(Path(folder), options.jobs, options.rounds, options.seconds)
    report = Report(f"tags, {options.split} split")
    rows = [_counts(made, verdicts, threshold) for threshold in THRESHOLDS]
    for row in rows:
        report.row(f"threshold {row[0]}", **dict(zip(_HEAD[1:], row[1:], strict=True)))
    report.row("speed", cpu_s_per_file=cpu_s / len(made), files_per_s=len(made) / wall_s)
    for speed in speeds:
        report.row(
            f"--jobs {speed.jobs}",
            files_per_s=len(made) / median(speed.wall_s),
            times=median(speed.ratios(speeds[0])),
            cpu_s_per_file=median(speed.cpu_s) / len(made),
        )
    if options.list:
        for each, verdict in zip(made, verdicts, strict=True):
            if (verdict.confidence >= THRESHOLD) != each.is_wrong:
                print(each.path.name, each.kind, each.tag, verdict.to_dict())
    if options.write_docs:
        minutes = sum(verdict.content.duration_s for verdict in verdicts) / 60
        if speeds:
            write_section(PAGE, f"{_SCRIPT} --jobs", _speed_section(len(made), speeds))
        else:
            write_section(PAGE, _SCRIPT, _section(made, rows, minutes, cpu_s))
    report.finish(options.json)


def _analyse(made: Sequence[Made], seconds: float) -> tuple[list[Verdict], float, float]:
    """Return the verdicts, and the seconds that they took."""
    pipeline, terms = build_analysis(load(None, []).config), load_map()
    verdicts = []
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    for each in made:
        claim = terms.claim([each.tag])
        assert claim is each.claim
        content = analyse(each.path, seconds, pipeline, [])
        verdicts.append(Verdict(Entry(each.path, each.path.name, (each.tag,)), claim, content))
    return verdicts, time.process_time() - cpu_s, time.perf_counter() - wall_s


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds that the command took with so many processes, in each round."""

    jobs: int
    wall_s: list[float]
    cpu_s: list[float]

    def ratios(self, other: Speed) -> list[float]:
        """Return how many times as fast it was as the other, in the same round."""
        return [b / a for a, b in zip(self.wall_s, other.wall_s, strict=True)]


def _throughput(folder: Path, jobs: Sequence[int], rounds: int, seconds: float) -> list[Speed]:
    """Run the command on the catalogue in a folder, in rounds of all numbers of processes.

    So other work on the machine slows all of them. Each run has a store of its own, and analyses
    everything.
    """
    speeds = [Speed(each, [], []) for each in jobs]
    for number in range(rounds):
        for speed in speeds:
            command = [
                sys.executable, "-m", "airsift", "tags", "check", str(folder / "catalogue.csv"),
                "--seconds", str(seconds), "--jobs", str(speed.jobs), "--format", "jsonl",
                "--store", str(folder / f"store-{speed.jobs}-{number}"),
            ]  # fmt: skip
            began, before = time.perf_counter(), os.times()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            after = os.times()
            speed.wall_s.append(time.perf_counter() - began)
            speed.cpu_s.append(
                after.children_user - before.children_user
                + after.children_system - before.children_system
            )  # fmt: skip
    return speeds


_HEAD = ("threshold", "listed", "planted among them", "precision %", "recall %")


def _counts(
    made: Sequence[Made], verdicts: Sequence[Verdict], threshold: float
) -> tuple[float, int, int, float, float]:
    listed = [
        each.is_wrong
        for each, verdict in zip(made, verdicts, strict=True)
        if verdict.confidence >= threshold
    ]
    right, planted = sum(listed), sum(each.is_wrong for each in made)
    return (
        threshold,
        len(listed),
        right,
        100 * right / max(len(listed), 1),
        100 * right / max(planted, 1),
    )


def _section(
    made: Sequence[Made],
    rows: Sequence[tuple[float, int, int, float, float]],
    minutes: float,
    cpu_s: float,
) -> str:
    kinds = ", ".join(
        f"{sum(each.kind == kind for each in made)} {name}"
        for kind, name in (
            ("voice", "of voices"),
            ("podcast", "podcasts"),
            ("music", "of music"),
            ("song", "songs"),
        )
    )
    planted = sum(each.is_wrong for each in made)
    body = [
        [
            f"**{row[0]}**" if row[0] == THRESHOLD else str(row[0]),
            str(row[1]),
            str(row[2]),
            f"{row[3]:.0f}",
            f"{row[4]:.0f}",
        ]
        for row in rows
    ]
    return (
        f"{len(made)} files ({minutes / 60:.1f} h): {kinds}. {planted} have a wrong tag.\n"
        f"{cpu_s / len(made):.2f} s of CPU a file on one thread, decoding included.\n\n"
        + "\n".join(table_lines(_HEAD, body))
    )


def _speed_section(count: int, speeds: Sequence[Speed]) -> str:
    body = [
        [
            str(speed.jobs),
            f"{count / median(speed.wall_s):.1f}",
            f"{median(speed.ratios(speeds[0])):.2f}",
            f"{median(speed.cpu_s) / count:.2f}",
        ]
        for speed in speeds
    ]
    return (
        f"{count} files, {len(speeds[0].wall_s)} rounds on {os.cpu_count()} cores (load average "
        f"{machine()['load']}), medians; the ratio is within a round.\n\n"
        + "\n".join(table_lines(("`--jobs`", "files a second", "times", "s of CPU a file"), body))
    )


def _of(recordings: Sequence[Recording], kind: str, shortest_s: float) -> list[Recording]:
    return [
        each
        for each in recordings
        if each.kind == kind and each.end - each.start >= shortest_s * RATE
    ]


def _write(path: Path, samples: Samples, codec: str, genre: str) -> None:
    rate = 48_000 if codec == "libopus" else RATE
    with av.open(str(path), "w") as container:
        container.metadata["genre"] = genre
        stream = container.add_stream(codec, rate=rate, layout="mono")
        form = stream.codec_context.format.name
        resampler = av.AudioResampler(format=form, layout="mono", rate=rate)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(np.clip(samples, -1, 1)[None]), format="flt", layout="mono"
        )
        frame.sample_rate, frame.pts = RATE, 0
        fifo = av.AudioFifo()
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            part.pts = None
            fifo.write(part)
        pts = 0
        size = stream.codec_context.frame_size or 4096
        while (part := fifo.read(size, partial=True)) is not None:
            part.pts, part.sample_rate = pts, rate
            pts += part.samples
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main()
