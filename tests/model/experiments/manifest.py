"""Recordings for tests of experiments: each class sounds different."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.corpus.sources import SPLITS
from stream.testing import noise, tone, write_wav

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SECONDS = 16
# The tone in the noise of a class, in Hz.
CLASSES = {"speech": 0, "music": 440, "female": 1200, "male": 220}


def write_manifest(
    folder: Path, classes: Mapping[str, int] = CLASSES, *, seconds: int = SECONDS, groups: int = 2
) -> Path:
    """Write two groups of each class for each split; return the manifest."""
    rows = ["path,class,group,split"]
    for kind, hertz in classes.items():
        for split in SPLITS:
            for number in range(groups):
                samples = noise(seconds, level=0.1, seed=len(rows))
                if hertz:
                    samples += tone(seconds, hz=hertz, level=0.3)
                name = f"{kind}-{split}-{number}"
                write_wav(folder / f"{name}.wav", samples)
                rows.append(f"{name}.wav,{kind},{name},{split}")
    manifest = folder / "mine.csv"
    manifest.write_text("\n".join(rows) + "\n")
    return manifest
