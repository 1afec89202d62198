"""Audio of the fingerprint benchmark: music and speech from Debian packages.

Needs apt, dpkg-deb, the network, and about 4 GB in the folder given.
"""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from airsift.errors import AirsiftError
from stream.sources.file import read_file

RATE = 16_000
CATALOGUE = (
    "wesnoth-1.16-music",
    "planetblupi-music-ogg",
    "freedroidrpg-data",
    "hyperrogue-music",
    "drascula-music",
    "widelands-data",
    "supertux-data",
    "flare-game",
)
# For calibration, and for the test.
NEGATIVES = {
    "validation": ("naev-data", "singularity-music"),
    "test": ("unknown-horizons", "warzone2100-music"),
}
SPEECH = ("fillets-ng-data-nl",)
_MIN_MUSIC_S = 25
_AUDIO = (".ogg", ".opus", ".mp3")


def default_folder() -> Path:
    """Return the default folder of audio and results."""
    return Path.home() / ".cache" / "airsift-bench"


def music(packages: tuple[str, ...], folder: Path) -> list[Path]:
    """Return the decoded music of packages, downloaded if necessary."""
    return [
        path
        for package in packages
        for path in _decoded(package, folder, "/music/", "/audio/track", longer_s=_MIN_MUSIC_S)
    ]


@cache
def speech(folder: Path, max_clips: int) -> list[NDArray[np.float32]]:
    """Return clips of speech at the same level."""
    clips = []
    for path in [p for package in SPEECH for p in _decoded(package, folder, "/nl/")][:max_clips]:
        clip = load(path)
        clips.append(clip * np.float32(0.1 / max(rms(clip), 1e-4)))
    return clips


def load(path: Path) -> NDArray[np.float32]:
    """Return samples in [-1, 1] of a decoded file."""
    samples: NDArray[np.float32] = np.load(path).astype(np.float32) / np.float32(32767)
    return samples


def rms(samples: NDArray[np.float32]) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(samples))))


def _decoded(package: str, folder: Path, *places: str, longer_s: float = 0) -> list[Path]:
    done = folder / "pcm" / package
    if not done.exists():
        unpacked = _unpacked(package, folder)
        # Renamed when complete: an interrupted run starts it again.
        filling = done.with_name(f"{package}.part")
        filling.mkdir(parents=True, exist_ok=True)
        for path in sorted(unpacked.rglob("*")):
            if path.suffix not in _AUDIO or not any(place in str(path) for place in places):
                continue
            try:
                samples = read_file(path, RATE)
            except AirsiftError as error:
                print(f"left out: {error}")
                continue
            if len(samples) >= longer_s * RATE:
                name = "_".join((*path.parts[-3:-1], path.stem))
                np.save(filling / f"{name}.npy", (np.clip(samples, -1, 1) * 32767).astype(np.int16))
        filling.rename(done)
    return sorted(done.glob("*.npy"))


def _unpacked(package: str, folder: Path) -> Path:
    target = folder / "unpacked" / package
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        downloads = folder / "deb"
        downloads.mkdir(parents=True, exist_ok=True)
        if not list(downloads.glob(f"{package}_*.deb")):
            print(f"fetching {package}")
            subprocess.run(["apt-get", "download", "-q", package], cwd=downloads, check=True)
        (deb,) = downloads.glob(f"{package}_*.deb")
        filling = target.with_name(f"{package}.part")
        subprocess.run(["dpkg-deb", "-x", str(deb), str(filling)], check=True)
        filling.rename(target)
    return target
