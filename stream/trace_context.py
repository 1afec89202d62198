"""The trace that a message belongs to, as W3C Trace Context writes it in two headers.

``traceparent`` names a span. ``tracestate`` is a list of what tracing systems add to it, the newest
first: it is passed on as it came. The standard lets a receiver drop a list that breaks its rules,
and shorten one of more than 512 characters: the longest members go first, and then the oldest.
"""

from __future__ import annotations

import re
from typing import NamedTuple

PARENT, STATE = "traceparent", "tracestate"
# Version 00: trace, span (neither of them zero) and flags.
TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
MAX_MEMBERS = 32
MAX_LENGTH = 512  # of a list, that is passed on in any case
MAX_READ = MAX_MEMBERS * (256 + 1 + 256 + 2)  # of a list as it comes: the longest there can be
MAX_MEMBER = 128  # of a member that is kept where the list is too long
_KEY = r"[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}"
# Of the value: printable ASCII without comma and equals sign, of which the last is no space.
_MEMBER = re.compile(rf"({_KEY})=[ -+\--<>-~]{{0,255}}[!-+\--<>-~]")


class TraceContext(NamedTuple):
    """A trace of which something is a part.

    Parameters
    ----------
    parent : str
        The ``traceparent``; "" where there is none.
    state : str
        The ``tracestate``; "" where there is none.
    """

    parent: str = ""
    state: str = ""

    def __bool__(self) -> bool:
        return bool(self.parent)

    def headers(self, prefix: str = "") -> list[tuple[str, bytes]]:
        """Return it as headers, whose names begin with `prefix`; none without a parent."""
        if not self.parent:
            return []
        parent = [(prefix + PARENT, self.parent.encode())]
        return [*parent, (prefix + STATE, self.state.encode())] if self.state else parent


NO_TRACE = TraceContext()


def read_trace(parent: str | None, state: str | None) -> TraceContext:
    """Return a trace as its headers name it.

    Parameters
    ----------
    parent, state : str, optional
        The values; of several headers ``tracestate``, joined by commas.

    Returns
    -------
    TraceContext
        `NO_TRACE` where `parent` is not valid; without a state where only that is not.
    """
    if not parent or not TRACEPARENT.fullmatch(parent):
        return NO_TRACE
    return TraceContext(parent, read_state(state) if state else "")


def read_state(text: str) -> str:
    """Return a ``tracestate`` without what is not passed on: "" where the list breaks the rules."""
    if len(text) > MAX_READ:
        return ""
    members: dict[str, str] = {}
    count = 0
    for part in text.split(","):
        member = part.strip(" \t")
        if not member:
            continue
        found = _MEMBER.fullmatch(member)
        count += 1
        if found is None or count > MAX_MEMBERS:
            return ""
        members.setdefault(found[1], member)  # a key that comes again is an older member
    kept = list(members.values())
    if len(",".join(kept)) > MAX_LENGTH:
        kept = [member for member in kept if len(member) <= MAX_MEMBER]
    while len(",".join(kept)) > MAX_LENGTH:
        kept.pop()
    return ",".join(kept)
