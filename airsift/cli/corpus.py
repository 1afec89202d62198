"""``airsift corpus``: fetch the public recordings, decode them once, count them."""

from __future__ import annotations

from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.common import complain

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from model.corpus.recordings import Job
    from model.corpus.sources import Item

app = typer.Typer(no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="Folder of the corpus; needs about 12 GB.")]
Librispeech = Annotated[
    Path | None, typer.Option(help="Folder of LibriSpeech FLAC files (openslr.org/12).")
]
Songs = Annotated[
    Path | None, typer.Option(help="Folder of songs with an index.tsv of file and artist.")
]
Manifest = Annotated[
    list[Path] | None, typer.Option(help="Your own CSV of path,class,group; may be repeated.")
]


@app.command()
def fetch(folder: Folder) -> None:
    """Download the Debian packages of the recipe, 2 GB in all, and check them.

    Packages that are there are kept: an interrupted download resumes.
    """
    from model.corpus import sources as recipe

    packages = sorted({item.source for item in recipe.debian_items()})
    for number, package in enumerate(packages, 1):
        file = recipe.fetch(package, folder / "packages")
        complain(f"[{number}/{len(packages)}] {file.name}")


@app.command()
def build(
    folder: Folder,
    librispeech: Librispeech = None,
    songs: Songs = None,
    manifest: Manifest = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Decode everything to 16 kHz mono and compute the training columns.

    The corpus then holds the audio that this command names, and nothing else. Unchanged files of
    the last build are reused, by their content and not by name or time. Files that cannot be
    decoded are listed and left out.
    """
    from model.corpus import cache, feature_store
    from model.corpus import recordings as corpus
    from model.spec import COLUMNS_PER_HOUR

    jobs = _sources(folder, librispeech, songs, manifest or [])
    with cache.building(folder, complain):
        corpus.build(jobs, folder, complain, workers=workers)
        takes, columns, reused = feature_store.build_store(folder, "train", workers=workers)
    complain(
        f"{takes} training takes, {columns / COLUMNS_PER_HOUR:.1f} h of columns: "
        f"{'reused' if reused else 'computed anew'}"
    )


@app.command()
def stats(folder: Folder) -> None:
    """Count minutes and groups of each class in each split."""
    from model.corpus import feature_store
    from model.corpus import sources as recipe
    from model.spec import SAMPLE_RATE

    print(f"{'split':<12}{'class':<10}{'groups':>8}{'recordings':>12}{'minutes':>10}")
    for split in recipe.SPLITS:
        recordings = feature_store.split_recordings(folder, split)
        for kind in recipe.KINDS:
            chosen = [each for each in recordings if each.kind == kind]
            minutes = sum(each.end - each.start for each in chosen) / SAMPLE_RATE / 60
            groups = len({each.group for each in chosen})
            print(f"{split:<12}{kind:<10}{groups:>8}{len(chosen):>12}{minutes:>10.1f}")


def _sources(
    folder: Path, librispeech: Path | None, songs: Path | None, manifests: Sequence[Path]
) -> list[Job]:
    """Return a job for each source."""
    from airsift.errors import ConfigError
    from model.corpus import recordings as corpus
    from model.corpus import sources as recipe
    from model.corpus.recordings import Job

    by_package: dict[str, list[Item]] = {}
    for item in recipe.debian_items():
        by_package.setdefault(item.source, []).append(item)
    taken = {*by_package, recipe.LIBRISPEECH, recipe.SONGS}
    found: list[Job] = []
    for package, items in by_package.items():
        file = recipe.package_file(package, folder / "packages")
        if file is not None:
            found.append(Job(package, items, file))
        elif not manifests:
            complain(f"{package} is not there: `airsift corpus fetch {folder}` brings it")
    for name, place, list_items in (
        (recipe.LIBRISPEECH, librispeech, recipe.librispeech_items),
        (recipe.SONGS, songs, recipe.song_items),
    ):
        if place is not None:
            found.append(Job(name, list_items(place), place, {"option": f"--{name}"}))
    for manifest in dict.fromkeys(each.resolve() for each in manifests):
        name = _free_name(manifest.stem, taken)
        taken.add(name)
        found.append(corpus.manifest_job(manifest, recipe.manifest_items(manifest), name))
    if not found:
        raise ConfigError(f"{folder} holds no packages: run `airsift corpus fetch {folder}` first")
    # The largest first, so that the workers end together.
    return sorted(found, key=lambda job: -len(job.items))


def _free_name(name: str, taken: Collection[str]) -> str:
    """Return a unique name for the source of a manifest."""
    numbered = (f"{name}-{number}" for number in count(2))
    return next(each for each in chain([name], numbered) if each not in taken)
