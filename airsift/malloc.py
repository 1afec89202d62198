"""Memory that the C library keeps after it was freed."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3  # from glibc's malloc.h
_LARGE = 1 << 19  # bytes; fetches are megabytes, chunks of audio less


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
