"""Reading and analysing files in several processes: nearly all the work of adding them."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import threading
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from airsift.cli.common import Complaints
from airsift.errors import AirsiftError, DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        with _child_environment():
            yield from _read_in_processes(files, present, jobs, track)
        return
    for path in files:
        try:
            content = _hash(path, track)
            yield path, Read(content) if content in present else _analyse(path, content, track)
        except (AirsiftError, OSError) as error:
            yield path, error


def _hash(path: Path, track: str | None) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    if track is not None:
        digest.update(f"\0track {track}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def _analyse(path: Path, content: str, track: str | None) -> Read:
    from fingerprint.analysis.track_landmarks import analyse
    from stream.sources.file import read_pieces

    warnings: list[str] = []
    pieces = read_pieces(path, warnings=warnings, track=track)
    return Read(content, analyse(pieces, str(path)), warnings)


def _read_in_processes(
    files: list[Path], present: frozenset[str], jobs: int, track: str | None
) -> Iterator[tuple[Path, Result]]:
    # A pool of one process for each thread: a file that kills its process fails alone.
    pools: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()
    for _ in range(jobs):
        pools.put(_one_process())

    def read(path: Path) -> Result:
        pool = pools.get()
        try:
            content = _hash(path, track)
            if content in present:
                return Read(content)
            for _ in range(2):  # the process may have died before it received this file
                try:
                    return pool.submit(_analyse, path, content, track).result()
                except BrokenProcessPool:
                    pool.shutdown(wait=False)
                    pool = _one_process()
        except (AirsiftError, OSError) as error:
            return error
        finally:
            pools.put(pool)
        return DecodeError(
            f"{path}: the process that read it died (the file breaks its decoder, or there "
            "is too little memory for it); convert it, or leave it out"
        )

    threads = ThreadPoolExecutor(jobs)
    left, waiting = iter(files), deque[tuple[Path, Future[Result]]]()
    try:
        while True:
            while len(waiting) < 2 * jobs and (path := next(left, None)) is not None:
                waiting.append((path, threads.submit(read, path)))
            if not waiting:
                return
            path, future = waiting.popleft()
            yield path, future.result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        while not pools.empty():
            pools.get().shutdown(wait=False)


def _one_process() -> ProcessPoolExecutor:
    # Not forked: a child would inherit the lock and the database of the catalogue.
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_start_process)


def _start_process() -> None:
    """Prepare a reading process: it ends with its parent, not by Ctrl-C."""
    logging.lastResort = Complaints(logging.WARNING)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _child_environment() -> Iterator[None]:
    """Set the environment of processes that are started in the block."""
    before = dict(os.environ)
    # One thread per process: more would compete for the same processors.
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    # They receive this process's `sys.path`, but import before that.
    os.environ["PYTHONSAFEPATH"] = "1"
    os.environ.pop("PYTHONPATH", None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
