"""How much an object of ours holds, for tests that nothing grows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any


def containers(root: Any) -> Iterator[tuple[str, Any]]:
    """Yield every container that an object of ours holds, with the way to it."""
    seen: set[int] = set()
    waiting = deque([("", root)])
    while waiting:
        path, item = waiting.popleft()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, dict | set | list | deque):
            yield path, item
        values = item.values() if isinstance(item, dict) else item
        if isinstance(item, dict | set | list | tuple | deque):
            waiting.extend((f"{path}[]", value) for value in values)
        elif type(item).__module__.startswith("stream."):
            names = {n for c in type(item).__mro__ for n in getattr(c, "__slots__", ())}
            names |= vars(item).keys() if hasattr(item, "__dict__") else set()
            waiting.extend((f"{path}.{n}", getattr(item, n, None)) for n in sorted(names))


def sizes(root: Any) -> dict[str, int]:
    """Return how many entries the containers below an object have, in total for each way."""
    found: dict[str, int] = {}
    for path, item in containers(root):
        if path != ".counts":
            found[path] = found.get(path, 0) + len(item)
    return found
