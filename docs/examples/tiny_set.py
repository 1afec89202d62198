"""Write a set of recordings with labels of their own, small enough to train on in minutes.

python docs/examples/tiny_set.py tiny/

Two labels, siren and applause, are generated; what has neither is the audio of airsift's demo. The
folder then holds the recordings, ``files.csv`` (what each is, and its split), ``tiny.toml`` (the
training) and ``broadcast.wav``: 55 s of test recordings, speech and from 15 s on music, with a
siren from 25 s to 35 s, and applause from 45 s on.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import stream.demo
from model.corpus.synthetic_events import siren
from stream.sources.file import read_file
from stream.testing import write_wav

RATE = 16_000
SECONDS = 30
# Of each generated class.
GROUPS = {"train": 8, "validation": 3, "test": 4}
FIRST_TEST = GROUPS["train"] + GROUPS["validation"]
# Of the demo's audio: a voice, a song or a noise is in one split only.
PROGRAMME = {
    "train": (
        "announcer",
        "reader-1098",
        "reader-3664",
        "hunting",
        "main-screen",
        "palace",
        "wind",
    ),
    "validation": ("reader-3983", "starfall", "machinery"),
    "test": ("reader-6367", "orbital-elevator", "warm-ink"),
}
TASK = """\
data = "Generated sirens and applause, and the audio of airsift's demo"
labels = ["siren", "applause"]
manifest = "files.csv"

[classes]
siren = ["siren"]
applause = ["applause"]
programme = []

[train]
network = "slim"
steps = 250
validate_every = 50

[[window]]
share = 0.2
of = ["siren"]

[[window]]
share = 0.2
of = ["applause"]

[[window]]
share = 0.2
of = ["programme"]

[[window]]               # a siren behind a programme, 15 to 0 dB under it, has its label too
share = 0.15
of = ["programme", "siren"]
under_db = [-15, 0]

[[window]]
share = 0.15
of = ["programme", "applause"]
under_db = [-15, 0]

[[window]]               # boundaries
share = 0.1
of = ["applause", "programme"]
spliced = true
"""


def applause(n: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Return the claps of 20 to 300 people, each of them three to five times a second."""
    out = np.zeros(n)
    decay = np.exp(-np.arange(RATE // 50) / (0.003 * RATE))
    for _ in range(int(random.integers(20, 300))):
        clap = np.diff(random.standard_normal(len(decay) + 1)) * decay * random.uniform(0.2, 1)
        times = np.cumsum(random.normal(RATE / random.uniform(3, 5), 0.01 * RATE, 5 * n // RATE))
        for start in times[times < n - len(clap)].astype(int):
            out[start : start + len(clap)] += clap
    return out


SOUNDS = {"siren": siren, "applause": applause}


def generated(kind: str, number: int, seconds: int = SECONDS) -> NDArray[np.float32]:
    """Return a sound of a class; each number is another one."""
    random = np.random.default_rng([sorted(SOUNDS).index(kind), number])
    wave = SOUNDS[kind](seconds * RATE, random)
    return (0.2 * wave / np.abs(wave).max()).astype(np.float32)


def demo(name: str, seconds: int = SECONDS) -> NDArray[np.float32]:
    """Return the beginning of a recording of the demo."""
    path = Path(stream.demo.__file__).parent / "audio" / f"{name}.opus"
    return read_file(path, rate=RATE)[: seconds * RATE]


def broadcast() -> NDArray[np.float32]:
    """Return speech, then music with a siren in it, then applause."""
    parts = [
        demo("reader-6367", 15)[: 15 * RATE],
        demo("warm-ink"),
        generated("applause", FIRST_TEST, 10),
    ]
    samples = np.concatenate(parts)
    samples[25 * RATE : 35 * RATE] += generated("siren", FIRST_TEST, 10)
    return np.clip(samples, -1, 1)


def main(folder: Path) -> None:
    """Write the set."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [("path", "class", "group", "split")]

    def add(name: str, kind: str, split: str, samples: NDArray[np.float32]) -> None:
        write_wav(folder / f"{name}.wav", samples)
        rows.append((f"{name}.wav", kind, name, split))

    for kind in SOUNDS:
        numbers = iter(range(sum(GROUPS.values())))
        for split, count in GROUPS.items():
            for number in (next(numbers) for _ in range(count)):
                add(f"{kind}-{number:02}", kind, split, generated(kind, number))
    for split, names in PROGRAMME.items():
        for name in names:
            add(name, "programme", split, demo(name))
    with (folder / "files.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    (folder / "tiny.toml").write_text(TASK, encoding="utf-8")
    write_wav(folder / "broadcast.wav", broadcast())
    print(f"{folder}: {len(rows) - 1} recordings, files.csv, tiny.toml, broadcast.wav")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
