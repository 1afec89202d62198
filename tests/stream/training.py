"""The training commands, called in this process, and recordings to train on."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import typer
from typer.testing import CliRunner

from airsift.cli import classify, corpus, evaluate, train
from model.corpus import sources as recipe
from model.corpus import splits
from stream.testing import noise, tone, write_wav

_app = typer.Typer()
_app.add_typer(corpus.app, name="corpus")
for _command in (train.train, train.export, classify.classify, evaluate.evaluate):
    _app.command()(_command)


def run(*words: object) -> str:
    done = CliRunner().invoke(_app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def write_recordings(folder: Path, kinds: Collection[str], tones: Collection[str]) -> Path:
    """Write 12 s of noise of each class for each split, those in `tones` with a tone.

    Return the manifest. The hash of a group's name decides its split.
    """
    rows = ["path,class,group"]
    for kind in kinds:
        for split in recipe.SPLITS:
            names = (f"{kind}-{number}" for number in range(200))
            group = next(name for name in names if splits.hashed_split(name) == split)
            samples = noise(12, level=0.1, seed=len(rows))
            if kind in tones:
                samples += tone(12, hz=300, level=0.3)
            write_wav(folder / f"{group}.wav", samples)
            rows.append(f"{group}.wav,{kind},{group}")
    manifest = folder / "mine.csv"
    manifest.write_text("\n".join(rows))
    return manifest
