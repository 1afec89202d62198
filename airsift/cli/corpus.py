"""``airsift corpus``: fetch the public recordings, decode them once, count them."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.common import inform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from collections.abc import Collection as Names

    from model.corpus.recordings import Job, Recording
    from model.corpus.sources import Item

app = typer.Typer(no_args_is_help=True, help="The recordings that networks are trained on.")

Folder = Annotated[Path, typer.Argument(help="Folder of the corpus; needs about 12 GB.")]
Librispeech = Annotated[
    Path | None, typer.Option(help="Folder of LibriSpeech FLAC files (openslr.org/12).")
]
Songs = Annotated[
    Path | None, typer.Option(help="Folder of songs with an index.tsv of file and artist.")
]
Collection = Annotated[
    list[Path] | None,
    typer.Option(
        help="Folder of public audio with an index.tsv of path, class, kind, group and source; "
        "may be repeated."
    ),
]
Manifest = Annotated[
    list[Path] | None,
    typer.Option(help="Your own CSV of path,class,group and, optionally, split; may be repeated."),
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
        inform(f"[{number}/{len(packages)}] {file.name}")


@app.command()
def build(
    folder: Folder,
    librispeech: Librispeech = None,
    songs: Songs = None,
    collection: Collection = None,
    manifest: Manifest = None,
    teacher: Annotated[
        Path | None,
        typer.Option(help="Folder of the teacher (see docs/training.md), whose tags are stored."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Decode everything to 16 kHz mono and compute the training columns.

    The corpus then holds the audio that this command names, and nothing else. Unchanged files of
    the last build are reused, by their content and not by name or time. Files that cannot be
    decoded are listed and left out. Before that, groups in two splits are refused, and classes
    that a split will lack are named.
    """
    from airsift.errors import ConfigError
    from model.corpus import cache, feature_store
    from model.corpus import recordings as corpus
    from model.corpus import sources as recipe
    from model.spec import COLUMNS_PER_HOUR

    public = [("--collection", place, recipe.collection_items) for place in collection or []]
    if librispeech is not None:
        public.append(("--librispeech", librispeech, recipe.librispeech_items))
    if songs is not None:
        public.append(("--songs", songs, recipe.song_items))
    jobs = [*_packages(folder, quiet=bool(manifest or public)), *_public(public)]
    jobs += _manifests(manifest or [], jobs)
    if not jobs:
        raise ConfigError(f"{folder} holds no packages: run `airsift corpus fetch {folder}` first")
    _check_splits(jobs)
    # The largest first, so that the workers end together.
    jobs.sort(key=lambda job: -len(job.items))
    with cache.building(folder, inform):
        corpus.build(jobs, folder, inform, workers=workers)
        takes, columns, reused = feature_store.build_store(
            folder, "train", workers=workers, teacher_folder=teacher
        )
    inform(
        f"{takes} training takes, {columns / COLUMNS_PER_HOUR:.1f} h of columns: "
        f"{'reused' if reused else 'computed anew'}"
    )


@app.command()
def stats(
    folder: Folder,
    by_source: Annotated[
        bool, typer.Option("--by-source", help="A row for each source and class.")
    ] = False,
) -> None:
    """Count sources, groups, recordings and minutes of each class in each split."""
    from model.corpus import recordings as corpus
    from model.corpus import sources as recipe
    from model.corpus import takes

    everything = corpus.read_index(folder)
    wide = max(len("source"), *(len(each.source) for each in everything)) + 2 if by_source else 9
    column = f"{'source':<{wide}}" if by_source else f"{'sources':>{wide}}"
    print(f"{'split':<12}{'class':<10}{column}{'groups':>8}{'recordings':>12}{'minutes':>10}")
    for split in recipe.SPLITS:
        recordings = takes.select_split(everything, split)
        for kind in recipe.KINDS:
            chosen = [each for each in recordings if each.kind == kind]
            names = sorted({each.source for each in chosen})
            if not by_source:
                print(f"{split:<12}{kind:<10}{len(names):>{wide}}{_counted(chosen)}")
                continue
            for name in names:
                members = [each for each in chosen if each.source == name]
                print(f"{split:<12}{kind:<10}{name:<{wide}}{_counted(members)}")


def _counted(recordings: Sequence[Recording]) -> str:
    """Return the numbers of groups and recordings, and the minutes."""
    from model.spec import SAMPLE_RATE

    minutes = sum(each.end - each.start for each in recordings) / SAMPLE_RATE / 60
    groups = len({each.group for each in recordings})
    return f"{groups:>8}{len(recordings):>12}{minutes:>10.1f}"


def _packages(folder: Path, *, quiet: bool) -> list[Job]:
    """Return a job for each Debian package that is there; say which are not, unless `quiet`."""
    from model.corpus import sources as recipe
    from model.corpus.recordings import Job

    found = []
    for package, items in _by_source(recipe.debian_items()).items():
        file = recipe.package_file(package, folder / "packages")
        if file is not None:
            found.append(Job(package, items, file))
        elif not quiet:
            inform(f"{package} is not there: `airsift corpus fetch {folder}` brings it")
    return found


def _public(folders: Sequence[tuple[str, Path, Callable[[Path], list[Item]]]]) -> list[Job]:
    """Return a job for each source in folders of public audio: option, folder, and its reader."""
    from airsift.errors import ConfigError
    from model.corpus.recordings import Job

    found: dict[str, Job] = {}
    for option, place, list_items in folders:
        for source, items in _by_source(list_items(place)).items():
            job = found.setdefault(source, Job(source, items, place, {"option": option}))
            if job.place != place:
                raise ConfigError(
                    f"{source} is in {job.place} and in {place}: a source is in one folder"
                )
    return list(found.values())


def _manifests(manifests: Sequence[Path], others: Sequence[Job]) -> list[Job]:
    """Return a job for each manifest, with a name that no other source has."""
    from model.corpus import recordings as corpus
    from model.corpus import sources as recipe
    from model.corpus import splits

    taken = {*splits.load_splits(), recipe.SONGS, *(job.source for job in others)}
    found: list[Job] = []
    for manifest in dict.fromkeys(each.resolve() for each in manifests):
        name = _free_name(manifest.stem, taken)
        taken.add(name)
        items = [replace(each, source=name) for each in recipe.manifest_items(manifest)]
        found.append(corpus.manifest_job(manifest, items, name))
    return found


def _by_source(items: Iterable[Item]) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(item.source, []).append(item)
    return found


def _check_splits(jobs: Sequence[Job]) -> None:
    """Refuse what no network can be trained on, and say which classes a split will lack."""
    from airsift.errors import ConfigError
    from model.corpus import splits

    items = [item for job in jobs for item in job.items]
    where = splits.assign_splits(items, splits.load_splits())
    way = "add groups, or place some by a column 'split' of the manifest"
    for split, kinds in splits.lacking(items, where).items():
        if split == "train" and len(kinds) == len(splits.NEEDED):
            raise ConfigError(f"the split train would be empty: {way}")
        if kinds:
            inform(f"warning: the split {split} will have no {' and no '.join(kinds)}: {way}")


def _free_name(name: str, taken: Names[str]) -> str:
    """Return a unique name for the source of a manifest."""
    numbered = (f"{name}-{number}" for number in count(2))
    return next(each for each in chain([name], numbered) if each not in taken)
