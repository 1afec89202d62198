"""Female or male on held-out voices, by source: the tables of docs/voice.md.

::

    python -m bench.voices corpus/                      # the shipped voice.pt, test split
    python -m bench.voices corpus/ --model other.pt --split validation
    python -m bench.voices corpus/ --music -10 -5 0     # with music under the voices, in dB

The corpus is one of `airsift corpus build`; sources that it lacks have no row.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from model import classifier, weights
from model.evaluation import voices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from model.evaluation.metrics import Estimate
    from model.evaluation.voices import SourceAccuracy

HEADER = """\
| source | voices | windows | right | given an answer | of these right |
|---|---|---|---|---|---|"""


def table(rows: list[SourceAccuracy]) -> Iterator[str]:
    """Yield the lines of a table, speech first."""
    yield HEADER
    for each in sorted(rows, key=lambda row: (row.kind == "singing", not row.trained, row.source)):
        held_out = "other voices trained" if each.trained else "source held out"
        yield (
            f"| {each.source}, {each.kind}; {held_out} | {each.right.groups} "
            f"| {each.right.windows} | {_with_interval(each.right)} | {each.answered.value:.1%} "
            f"| {_with_interval(each.answered_right) if each.answered_right else 'none'} |"
        )


def _with_interval(each: Estimate) -> str:
    return f"{each.value:.1%} ({each.low:.1%} to {each.high:.1%})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.voices", description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--model", type=Path, default=weights.VOICE_WEIGHTS)
    parser.add_argument("--split", choices=["test", "validation"], default="test")
    parser.add_argument("--music", type=float, nargs="+", metavar="DB")
    options = parser.parse_args()
    model = classifier.load(options.model)
    conditions: list[tuple[str, bool, float | None]] = [
        ("as recorded", False, None),
        ("in rooms, through telephones, codecs and similar", True, None),
    ]
    if options.music:
        conditions = [(f"with music at {level:+g} dB", False, level) for level in options.music]
    for how, augmented, level in conditions:
        windows = voices.voice_windows(
            options.corpus, options.split, augmented=augmented, music_db=level
        )
        print(f"\n{how}\n")
        print("\n".join(table(voices.accuracy_by_source(model, windows))))


if __name__ == "__main__":
    main()
