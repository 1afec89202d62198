"""Degradations in combination, in the order of a broadcast: player, studio, transmission, room."""

from __future__ import annotations

from functools import reduce

from bench.matching.degradations import Audio, Condition, coded, conditions, filtered
from bench.matching.music import RATE

COMPRESSOR, AAC, OPUS = "compressor", "AAC 48 kb/s", "Opus 16 kb/s"
CHAINS = (
    ("equaliser", COMPRESSOR, "MP3 64 kb/s"),
    ("speech 5 dB louder", COMPRESSOR, "MP3 64 kb/s"),
    ("speech 10 dB louder", COMPRESSOR, AAC),
    ("speed +2 %", COMPRESSOR, AAC),
    ("speed -2 %", "speech 5 dB louder", COMPRESSOR, "MP3 64 kb/s"),
    ("tempo +4 %", "equaliser", COMPRESSOR, OPUS),
    ("speech 5 dB louder", COMPRESSOR, "GSM 06.10"),
    (COMPRESSOR, "MP3 64 kb/s", "reverb 1 s", "babble 0 dB"),
)


def chains() -> list[Condition]:
    """Return each of `CHAINS` as one condition."""
    steps = {step.name: step for step in (*conditions(), *STUDIO)}
    return [_joined([steps[name] for name in names]) for names in CHAINS]


def _joined(steps: list[Condition]) -> Condition:
    speed = reduce(lambda product, step: product * step.speed, steps, 1.0)
    return Condition(
        ", ".join(step.name for step in steps),
        lambda music, context: reduce(lambda x, step: step.apply(x, context), steps, music),
        speed,
    )


def _compressed(music: Audio) -> Audio:
    """Compress as a station does: 12 dB and more where it is loud, and a limiter behind it."""
    dynamics = "threshold=0.03:ratio=8:attack=5:release=80:makeup=4"
    limiter = "limit=0.5:attack=2:release=50:level=false"
    return filtered(
        music, [("acompressor", dynamics), ("alimiter", limiter), ("aformat", "sample_fmts=fltp")]
    )


STUDIO = (
    Condition(COMPRESSOR, lambda x, _: _compressed(x)),
    Condition(AAC, lambda x, _: coded(x, "adts", "aac", RATE, 48_000)),
    Condition(OPUS, lambda x, _: coded(x, "ogg", "libopus", RATE, 16_000)),
)
