"""Text that can be written anywhere."""

from __future__ import annotations


def utf8(text: str) -> str:
    """Return text without what is no UTF-8, such as bytes of a file's name; ``?`` stands for it."""
    return text.encode("utf-8", "replace").decode()
