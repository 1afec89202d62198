"""Reading and analysing files on several processes; it is nearly all the work of adding them."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import threading
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from airsift.cli.common import Complaints
from airsift.errors import AirsiftError, DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fingerprint.analysis.landmarks import Landmarks

# A process takes a second to start: it is worth that for so many files.
_WORTH = 4


@dataclass(frozen=True, slots=True)
class Read:
    """A file that was read.

    Parameters
    ----------
    content : str
        Hash of the file.
    landmarks : Landmarks or None
        Of its audio; None where the catalogue has the file already.
    warnings : list of str
        A line for each damage in it.
    """

    content: str
    landmarks: Landmarks | None = None
    warnings: list[str] = field(default_factory=list)


class _Task(NamedTuple):
    """What `read` is told besides the file."""

    present: frozenset[str]
    track: str | None


def read(path: Path, present: frozenset[str], track: str | None = None) -> Read:
    """Read and analyse one file, if the hash of its content is not among those present.

    Of a `track` that is asked for, the hash is another than of the file without.

    Raises
    ------
    AirsiftError, OSError
        Where it cannot be read, or there is nothing to find it by.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    if track is not None:
        digest.update(f"\0track {track}".encode("utf-8", "surrogateescape"))
    content = digest.hexdigest()[:16]
    if content in present:
        return Read(content)

    from fingerprint.analysis.track_landmarks import analyse
    from stream.sources.file import read_pieces

    warnings: list[str] = []
    pieces = read_pieces(path, warnings=warnings, track=track)
    return Read(content, analyse(pieces, str(path)), warnings)


def read_all(
    files: list[Path], present: frozenset[str], jobs: int, track: str | None = None
) -> Iterator[tuple[Path, Read | AirsiftError | OSError]]:
    """Read files, and give each with what became of it, in their order.

    Parameters
    ----------
    files : list of Path
        The files.
    present : frozenset of str
        Hashes of files that need not be analysed.
    jobs : int > 0
        Processes at most; for a few files there are fewer, and for very few none but this.
    track : str, optional
        Number, language or title of the audio track; the default one unless given.
    """
    jobs = min(jobs, len(files) // _WORTH)
    if jobs < 2:
        for path in files:
            try:
                yield path, read(path, present, track)
            except (AirsiftError, OSError) as error:
                yield path, error
        return
    # One thread for each process: theirs would only get in each other's way.
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    # They are given this process's `sys.path`, but import before that.
    os.environ["PYTHONSAFEPATH"] = "1"
    os.environ.pop("PYTHONPATH", None)
    yield from _read_apart(files, _Task(present, track), jobs)


def _read_apart(
    files: list[Path], task: _Task, jobs: int
) -> Iterator[tuple[Path, Read | AirsiftError | OSError]]:
    pool = _pool(jobs, task)
    waiting: deque[tuple[Path, Future[Read]]] = deque()
    left = iter(files)
    try:
        while True:
            while len(waiting) < 2 * jobs and (path := next(left, None)) is not None:
                waiting.append((path, _submit(pool, path)))
            if not waiting:
                return
            path, future = waiting.popleft()
            try:
                yield path, future.result()
            except BrokenProcessPool:
                # One of the files that were being read kills whoever reads it. This one is
                # tried alone, and the others again.
                pool.shutdown(wait=False)
                yield path, _read_alone(path, task)
                pool = _pool(jobs, task)
                waiting = deque((other, _submit(pool, other)) for other, _ in waiting)
            except (AirsiftError, OSError) as error:
                yield path, error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, path: Path) -> Future[Read]:
    """Return a read to wait for; a pool that has just died refuses, which is a read that dies."""
    try:
        return pool.submit(_read, path)
    except BrokenProcessPool as error:
        dead: Future[Read] = Future()
        dead.set_exception(error)
        return dead


def _read_alone(path: Path, task: _Task) -> Read | AirsiftError | OSError:
    with _pool(1, task) as pool:
        try:
            return pool.submit(_read, path).result()
        except BrokenProcessPool:
            return DecodeError(
                f"{path}: the process that read it died (the file breaks its decoder, or there "
                "is too little memory for it); convert it, or leave it out"
            )
        except (AirsiftError, OSError) as error:
            return error


def _pool(jobs: int, task: _Task) -> ProcessPoolExecutor:
    # Not forked: a child would hold the catalogue's lock, and its database, as well.
    return ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_begin, initargs=(task,)
    )


_task = _Task(frozenset(), None)


def _begin(task: _Task) -> None:
    """Make this process ready: it stops when its parent says so, or is gone."""
    global _task
    _task = task
    logging.lastResort = Complaints(logging.WARNING)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _read(path: Path) -> Read:
    return read(path, *_task)
