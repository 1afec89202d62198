"""Reading and analysing files in several processes: nearly all the work of adding them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.cli.processes import each_in_processes
from airsift.errors import AirsiftError
from airsift.track_files import content_of, landmarks_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airsift.cli.processes import Run
    from fingerprint.analysis.landmarks import Landmarks

_FILES_PER_PROCESS = 4  # at least; a process takes a second to start


@dataclass(frozen=True, slots=True)
class Read:
    """A file that was read.

    Parameters
    ----------
    content : str
        Hash of the file, and of the audio track if one was chosen.
    landmarks : Landmarks or None
        Of its audio; None if the catalogue has the file already.
    warnings : list of str
        A line for each damage in it.
    """

    content: str
    landmarks: Landmarks | None = None
    warnings: list[str] = field(default_factory=list)


Result = Read | AirsiftError | OSError


def read_all(
    files: list[Path], present: frozenset[str], jobs: int, track: str | None = None
) -> Iterator[tuple[Path, Result]]:
    """Read files; yield each with its result, in their order.

    Parameters
    ----------
    files : list of Path
        The files.
    present : frozenset of str
        Hashes of files that need no analysis.
    jobs : int > 0
        Maximum number of processes; few files are read in this process.
    track : str, optional
        Number, language or title of the audio track; the default one unless given.
    """
    jobs = min(jobs, len(files) // _FILES_PER_PROCESS)
    if jobs >= 2:

        def read(path: Path, run: Run) -> Result:
            try:
                content = content_of(path, track)
                return Read(content) if content in present else run(_analyse, path, content, track)
            except (AirsiftError, OSError) as error:
                return error

        yield from each_in_processes(read, files, jobs)
        return
    for path in files:
        try:
            content = content_of(path, track)
            yield path, Read(content) if content in present else _analyse(path, content, track)
        except (AirsiftError, OSError) as error:
            yield path, error


def _analyse(path: Path, content: str, track: str | None) -> Read:
    landmarks, warnings = landmarks_of(path, track)
    return Read(content, landmarks, warnings)
