"""The catalogues of stations that have one of their own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airsift.errors import AirsiftError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream.stages.matchers import Matchers
    from stream.stations.entry import StationEntry

log = logging.getLogger(__name__)


class StationCatalogues:
    """Chooses the matchers of a station by its entry in a list.

    A catalogue is opened when a station needs it first, once for all that name it. One that cannot
    be opened is one line, and its stations go on without names.

    Parameters
    ----------
    default : Matchers, optional
        Those of ``identify.catalogue``, for stations that name no catalogue.
    entries_of : callable
        Returns the stations by name, as they are now.
    open_matchers : callable
        Opens the catalogue in a folder.
    """

    def __init__(
        self,
        default: Matchers | None,
        entries_of: Callable[[], Mapping[str, StationEntry]],
        open_matchers: Callable[[str], Matchers],
    ) -> None:
        self._default, self._entries_of, self._open = default, entries_of, open_matchers
        self._opened: dict[str, Matchers | None] = {}

    def __call__(self, station: str) -> Matchers | None:
        """Return the matchers of a station; None where its music is not named."""
        entry = self._entries_of().get(station)
        if entry is None or entry.catalogue is None:
            return self._default
        if not entry.catalogue:
            return None
        if entry.catalogue not in self._opened:
            self._opened[entry.catalogue] = self._try(entry)
        return self._opened[entry.catalogue]

    def _try(self, entry: StationEntry) -> Matchers | None:
        assert entry.catalogue
        try:
            return self._open(entry.catalogue)
        except (AirsiftError, OSError) as error:
            log.warning(
                "music is not named: %s; mend it, and start again",
                error,
                extra={"station": entry.name},
            )
            return None
