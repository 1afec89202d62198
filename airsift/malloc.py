"""Memory that the C library keeps after it was freed, and Python's search for garbage."""

from __future__ import annotations

import ctypes
import gc
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_M_MMAP_THRESHOLD = -3  # from glibc's malloc.h
_LARGE = 1 << 19  # bytes; fetches are megabytes, chunks of audio less
# More than a poll of Kafka makes, with some ten for each of up to some thousand messages.
_NEW_OBJECTS = 50_000


def give_back_large_blocks() -> bool:
    """Return blocks of half a megabyte and more to the system as soon as they are freed.

    glibc raises this limit by itself to the largest freed block, up to 32 MB. Fetches then come
    from the heap and leave holes in it: a process that reads Kafka for hours grows.

    Returns
    -------
    bool
        False if the C library is not glibc; nothing is changed then.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(_M_MMAP_THRESHOLD, _LARGE))


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back_free_pages() -> bool:
    """Return the free pages between blocks that are still used to the system.

    The arrays of stations are replaced every second, in any order, and leave holes of some pages
    between each other. With 1 000 stations these are a tenth of the memory, and this takes 5 ms.

    Returns
    -------
    bool
        Whether there were any; False as well if the C library is not glibc.
    """
    trim = _malloc_trim()
    return bool(trim and trim(0))


def keep_all_objects() -> None:
    """Leave what lives now, such as modules, out of all later searches for garbage.

    To be called once, before a process begins its loop.
    """
    gc.collect()
    gc.freeze()


def search_rarely_for_garbage() -> None:
    """Have Python search for garbage after `_NEW_OBJECTS` more objects than at its last search.

    By default it searches after 700, which is many times in every poll of Kafka, and now and then
    through the state of all stations. What comes and goes with messages, audio, events and
    snapshots is freed without: none of it is in a cycle (`tests/stream/test_garbage.py`). So these
    searches found nothing, and took a tenth of a worker's time with 300 stations and a fifth with
    2 000.
    """
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])
