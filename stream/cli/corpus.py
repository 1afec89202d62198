"""``airsift corpus``: fetch the public recordings, decode them once, count them."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli._context import complain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.recipe import Item

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

    What is there already is kept: an interrupted download goes on.
    """
    from model import recipe

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
    """Decode everything to 16 kHz mono, once, and compute the training columns.

    Files that cannot be decoded are listed and left out.
    """
    from model import bank, corpus

    jobs = _sources(folder, librispeech, songs, manifest or [])
    with ProcessPoolExecutor(workers) as pool:
        running = {
            pool.submit(corpus.build_source, source, items, place, folder): source
            for source, items, place in jobs
        }
        for number, done in enumerate(as_completed(running), 1):
            seconds, broken = done.result()
            complain(f"[{number}/{len(running)}] {running[done]}: {seconds / 60:.1f} min")
            for problem in broken:
                complain(f"left out: {problem}")
    streams, columns = bank.build_bank(folder, "train", workers=workers)
    complain(f"{streams} training streams, {columns / 180_000:.1f} h of columns")


@app.command()
def stats(folder: Folder) -> None:
    """Count minutes and groups of each class in each split."""
    from model import bank, recipe

    print(f"{'split':<12}{'class':<10}{'groups':>8}{'recordings':>12}{'minutes':>10}")
    for split in recipe.SPLITS:
        recordings = bank.checked_recordings(folder, split)
        for kind in recipe.KINDS:
            chosen = [each for each in recordings if each.kind == kind]
            minutes = sum(each.end - each.start for each in chosen) / 16_000 / 60
            groups = len({each.group for each in chosen})
            print(f"{split:<12}{kind:<10}{groups:>8}{len(chosen):>12}{minutes:>10.1f}")


def _sources(
    folder: Path, librispeech: Path | None, songs: Path | None, manifests: Sequence[Path]
) -> list[tuple[str, list[Item], Path]]:
    """List what there is to decode: name, files and place of each source."""
    from airsift.errors import ConfigError
    from model import recipe

    by_package: dict[str, list[Item]] = {}
    for item in recipe.debian_items():
        by_package.setdefault(item.source, []).append(item)
    found: list[tuple[str, list[Item], Path]] = []
    for package, items in by_package.items():
        file = recipe.package_file(package, folder / "packages")
        if file is not None:
            found.append((package, items, file))
        elif not manifests:
            complain(f"{package} is not there: `airsift corpus fetch {folder}` brings it")
    if librispeech is not None:
        found.append(("librispeech", recipe.librispeech_items(librispeech), librispeech))
    if songs is not None:
        found.append(("songs", recipe.song_items(songs), songs))
    for manifest in manifests:
        found.append((manifest.stem, recipe.manifest_items(manifest), manifest.parent))
    if not found:
        raise ConfigError(f"{folder} holds no packages: run `airsift corpus fetch {folder}` first")
    # The longest first, so that the workers end together.
    return sorted(found, key=lambda job: -len(job[1]))
