"""Reading and analysing files on several processes; it is nearly all the work of adding them."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.errors import AirsiftError, DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fingerprint.landmarks import Landmarks

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


def read(path: Path, present: frozenset[str]) -> Read:
    """Read and analyse one file, if the hash of its content is not among those present.

    Raises
    ------
    AirsiftError, OSError
        Where it cannot be read, or there is nothing to find it by.
    """
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    if content in present:
        return Read(content)

    from fingerprint.intake import analyse
    from stream.sources.file import read_file

    warnings: list[str] = []
    samples = read_file(path, warnings=warnings)
    return Read(content, analyse(samples, str(path)), warnings)


def read_all(
    files: list[Path], present: frozenset[str], jobs: int
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
    """
    jobs = min(jobs, len(files) // _WORTH)
    if jobs < 2:
        for path in files:
            try:
                yield path, read(path, present)
            except (AirsiftError, OSError) as error:
                yield path, error
        return
    # One thread for each process: theirs would only get in each other's way.
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    # They are given this process's `sys.path`, but import before that.
    os.environ["PYTHONSAFEPATH"] = "1"
    os.environ.pop("PYTHONPATH", None)
    yield from _read_apart(files, present, jobs)


def _read_apart(
    files: list[Path], present: frozenset[str], jobs: int
) -> Iterator[tuple[Path, Read | AirsiftError | OSError]]:
    pool = _pool(jobs, present)
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
                yield path, _read_alone(path, present)
                pool = _pool(jobs, present)
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


def _read_alone(path: Path, present: frozenset[str]) -> Read | AirsiftError | OSError:
    with _pool(1, present) as pool:
        try:
            return pool.submit(_read, path).result()
        except BrokenProcessPool:
            return DecodeError(
                f"{path}: the process that read it died (the file breaks its decoder, or there "
                "is too little memory for it); convert it, or leave it out"
            )
        except (AirsiftError, OSError) as error:
            return error


def _pool(jobs: int, present: frozenset[str]) -> ProcessPoolExecutor:
    # Not forked: a child would hold the catalogue's lock, and its database, as well.
    return ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_begin, initargs=(present,)
    )


_present: frozenset[str] = frozenset()


def _begin(present: frozenset[str]) -> None:
    """Make this process ready: it stops when its parent says so, or is gone."""
    global _present
    _present = present
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _read(path: Path) -> Read:
    return read(path, _present)
