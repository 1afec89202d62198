"""Make a long programme of speech with songs inside, and plot it for docs/plot.md.

::

    python -m bench.figures.song_programme --audio FOLDER [--audio FOLDER ...] --out FOLDER \
        [--picture docs/figures/song_programme.png]

`song_programme.csv` lists the recordings, none of which the network was trained on. Songs are
excerpts of 90 to 180 s, or whole if they are shorter, that fade in and out. Every third begins
under speech, 12 dB quieter. Of those of the class `unknown` the catalogue has no copy; those of the
class `other` do not play.
Written into the folder: programme.mp3, truth.txt, shelf/, programme.png and programme.html.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from fingerprint.catalogue import Catalogue
from fingerprint.track import Track
from model.mixing import ducking_gain, fade_in
from stream.sources.file import read_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

LIST = Path(__file__).with_suffix(".csv")
PICTURE = Path(__file__).parents[2] / "docs" / "figures" / "song_programme.png"
RATE = 16_000
SEED = 3
LEVEL = 0.08  # root mean square of everything
PAUSE_S, FADE_S, TALK_S, RAMP_S, DUCK_DB = 0.8, 2.0, 12.0, 0.5, 12.0
EXCERPT_S = (90.0, 180.0)
TALK_EVERY = 3
# The picture of the docs is smaller than that of the command.
SCALE, COLOURS = 0.8, 48


@dataclass(frozen=True, slots=True)
class Recording:
    """One line of the list, and its audio."""

    kind: str
    artist: str
    title: str
    samples: Samples


def recordings(folders: Sequence[Path]) -> list[Recording]:
    """Read the recordings of the list from the folders they are in."""
    found = []
    with LIST.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            path = next((f / row["file"] for f in folders if (f / row["file"]).exists()), None)
            if path is None:
                raise SystemExit(f"{row['file']} is in none of the folders: name its --audio")
            whole = read_file(path, RATE)
            start, end = (round(float(row[each] or 0) * RATE) for each in ("start_s", "end_s"))
            samples = whole[start : end or None]
            level = np.sqrt(np.mean(np.square(samples)))
            levelled = np.asarray(samples * (LEVEL / level), np.float32)
            found.append(Recording(row["class"], row["artist"], row["title"], levelled))
    return found


def programme(found: Sequence[Recording]) -> tuple[Samples, list[str]]:
    """Return the samples and the lines of true labels.

    Songs come at equal distances of speech.
    """
    random = np.random.default_rng(SEED)
    pause = np.zeros(round(PAUSE_S * RATE), np.float32)
    speech = np.concatenate(
        [part for r in found if r.kind == "speech" for part in (r.samples, pause)]
    )
    songs = [r for r in found if r.kind in ("song", "unknown")]
    stretch = len(speech) // (len(songs) + 1)
    parts: list[Samples] = []
    labels: list[str] = []
    at = 0

    def add(samples: Samples, label: str) -> None:
        nonlocal at
        parts.append(samples)
        labels.append(f"{at / RATE:.3f}\t{(at + len(samples)) / RATE:.3f}\t{label}")
        at += len(samples)

    for number, song in enumerate(songs):
        talk = round(TALK_S * RATE) if number % TALK_EVERY == TALK_EVERY - 1 else 0
        said = speech[number * stretch : (number + 1) * stretch]
        add(said[: len(said) - talk], "speech")
        longest = min(EXCERPT_S[1] * RATE, len(song.samples))
        length = int(random.integers(min(EXCERPT_S[0] * RATE, longest), longest + 1))
        start = int(random.integers(len(song.samples) - length + 1))
        excerpt = song.samples[start : start + length].copy()
        fade = fade_in(round(FADE_S * RATE))
        excerpt[: len(fade)] *= fade
        excerpt[-len(fade) :] *= fade[::-1]
        name = f"{song.artist} - {song.title}"
        if talk:
            excerpt *= ducking_gain(0, length, [(0, talk)], round(RAMP_S * RATE), DUCK_DB)
            add(excerpt[:talk] + said[len(said) - talk :], f"speech over music: {name}")
        add(excerpt[talk:], f"music: {name}")
    add(speech[len(songs) * stretch :], "speech")
    return np.concatenate(parts), labels


def write_mp3(path: Path, samples: Samples) -> None:
    """Encode as MP3 at 32 kb/s, as a spoken-word station does."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mp3", rate=RATE, layout="mono")
        stream.bit_rate = 32_000
        whole = np.clip(samples * 32767, -32768, 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(whole[None], format="s16p", layout="mono")
        frame.sample_rate = RATE
        for each in (frame, None):
            container.mux(stream.encode(each))


def shrink(picture: Path, out: Path) -> None:
    """Write a PNG anew, smaller and with few colours: a fifth of the bytes."""
    from PIL import Image

    with Image.open(picture) as image:
        size = (round(image.width * SCALE), round(image.height * SCALE))
        small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    few = small.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(out, "png", optimize=True)


def main() -> None:
    """Make the programme and plot it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audio", type=Path, action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    found = recordings(options.audio)
    samples, labels = programme(found)
    write_mp3(options.out / "programme.mp3", samples)
    (options.out / "truth.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
    shelf = options.out / "shelf"
    if not shelf.exists():
        catalogue = Catalogue.create(shelf)
        for each in found:
            if each.kind in ("song", "other"):
                catalogue.add(each.samples, Track(each.title, each.title, each.artist))
        catalogue.close()
    picture = options.out / "programme.png"
    command = [
        "airsift", "plot", options.out / "programme.mp3", "--catalogue", shelf,
        "--truth", options.out / "truth.txt", "--output", picture,
        "--output", options.out / "programme.html",
    ]  # fmt: skip
    subprocess.run([sys.executable, "-m", *map(str, command)], check=True)
    shrink(picture, options.picture)


if __name__ == "__main__":
    main()
