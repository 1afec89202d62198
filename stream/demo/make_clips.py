"""Make the demo's Opus files from the original recordings.

::

    python -m stream.demo.make_clips FOLDER

FOLDER holds the packages of parts.toml, each unpacked (``dpkg-deb -x``) into a folder of its
name. All parts have the same level, so that programmes are mixed in decibels.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.audio
import numpy as np

from stream.decoding.reader import AudioReader
from stream.demo.clips import RATE, Part, parts
from stream.resampler import Resampler

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL_DB = -20.0  # mean power of full scale
PEAK = 0.95
BIT_RATES = {"music": 56_000, "speech": 24_000, "noise": 32_000}


def excerpt(part: Part, folder: Path) -> NDArray[np.float32]:
    """Return the part's samples at `RATE` from the recording under `folder`, levelled."""
    reader = AudioReader(folder / part.source / part.path)
    samples = np.concatenate([block.samples for block in reader])
    start = round(part.from_s * reader.rate)
    samples = samples[start : start + round(part.length_s * reader.rate)]
    samples = Resampler(reader.rate, RATE, "VHQ").push(samples, last=True)
    gain = 10 ** (LEVEL_DB / 20) / np.sqrt(np.mean(np.square(samples)))
    peak = np.abs(samples).max()
    return np.asarray(samples * min(gain, PEAK / peak), np.float32)


def write_opus(samples: NDArray[np.float32], file: Path, bit_rate: int) -> None:
    """Write mono samples at `RATE` as Ogg Opus."""
    # bitexact: no random stream number, so that the same samples give the same file
    with av.open(str(file), "w", format="ogg", options={"fflags": "bitexact"}) as container:
        stream = container.add_stream("libopus", rate=RATE, layout="mono")
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="flt", layout="mono")
        frame.rate = RATE
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def main() -> None:
    """Encode every part."""
    folder = Path(sys.argv[1])
    for part in parts().values():
        part.file.parent.mkdir(exist_ok=True)
        write_opus(excerpt(part, folder), part.file, BIT_RATES[part.kind])
        print(f"{part.file.name:24} {part.file.stat().st_size / 1000:6.0f} kB")


if __name__ == "__main__":
    main()
