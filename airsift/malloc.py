"""How the C library keeps what was freed."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3  # from glibc's malloc.h
_LARGE = 1 << 19  # bytes; a fetch is megabytes, a chunk of audio less


def give_back_large_blocks() -> bool:
    """Have blocks of half a megabyte and more go back to the system as soon as they are freed.

    glibc raises this limit by itself to the largest block that was freed, up to 32 MB. Fetches
    then come from the heap, between what stays, and leave holes: a process that reads Kafka for
    hours grows, while what it uses does not.

    Returns
    -------
    bool
        False with another C library than glibc, where nothing is changed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(_M_MMAP_THRESHOLD, _LARGE))
