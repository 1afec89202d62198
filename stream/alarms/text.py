"""An alarm in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream.alarms.rules import Rule


def describe(rule: Rule, length_s: float, value: float | None) -> str:
    """Return what is wrong, for how long, and what was measured.

    Parameters
    ----------
    rule : Rule
        The rule that it breaks.
    length_s : float >= 0
        For how long it has been, or was, so.
    value : float or None
        What was measured last.
    """
    text = f"{rule.kind.words} for {duration(length_s)}"
    if value is None or not rule.kind.unit:
        return text
    return f"{text}: {value:g} {rule.kind.unit}, the limit is {rule.threshold:g}"


def duration(seconds: float) -> str:
    """Return a length of time in at most two units, as ``12 s``, ``3 min 5 s`` or ``26 h``."""
    whole = round(max(seconds, 0.0))
    units = [("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)]
    parts: list[str] = []
    for name, size in units:
        count, whole = divmod(whole, size)
        if count or parts:
            parts.append(f"{count} {name}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(filter(None, parts)) or "0 s"
