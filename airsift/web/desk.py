"""The routes of what people do at a desk: the catalogue, unknown pieces, reports."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from airsift.web.answers import as_json, body_of, flag, whole
from airsift.web.child import Refused
from airsift.web.tracks import MAX_PART, MAX_TEXT, names_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from airsift.json_types import JsonObject
    from airsift.web.report_files import Reports
    from airsift.web.tracks import Tracks
    from airsift.web.unknown import Unknown

_PART = "50"  # of a list, unless a number is asked for
_FAR = 100_000_000
# A report is a page of its own with styles and pictures in it, shown in a frame of ours. It runs
# nothing, and is of no origin: what stands in it reaches neither the page nor the API.
_REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-downloads"
)


class Desk:
    """The answers.

    Parameters
    ----------
    tracks : Tracks, optional
        The catalogue; without it there is none.
    unknown : Unknown, optional
        What is played again and has no name; without it nothing is searched for it.
    reports : Reports, optional
        Makes reports; without it there is no history.
    may_change : bool
        Whether the catalogue may be changed from the page (`web.may_change`).
    """

    def __init__(
        self,
        tracks: Tracks | None = None,
        unknown: Unknown | None = None,
        reports: Reports | None = None,
        *,
        may_change: bool = False,
    ) -> None:
        self._tracks, self._unknown, self._reports = tracks, unknown, reports
        self._may_change = may_change

    @property
    def about(self) -> JsonObject:
        """What can be done here."""
        write = "write" if self._may_change else "read"
        return {
            "catalogue": "none" if self._tracks is None else write,
            "unknown": self._unknown is not None,
            "reports": self._reports is not None,
        }

    def close(self) -> None:
        """Close files, and delete the reports."""
        for part in (self._tracks, self._reports):
            if part is not None:
                part.close()

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/api/catalogue", self.list_tracks, methods=["GET"]),
            Route("/api/catalogue", self.add_track, methods=["POST"]),
            Route("/api/catalogue/track", self.rename_track, methods=["PATCH"]),
            Route("/api/catalogue/track", self.remove_track, methods=["DELETE"]),
            Route("/api/unknown", self.list_unknown),
            Route("/api/unknown/clip", self.clip_of_unknown),
            Route("/api/unknown/name", self.name_unknown, methods=["POST"]),
            Route("/api/reports", self.about_reports, methods=["GET"]),
            Route("/api/reports", self.make_report, methods=["POST"]),
            Route("/api/reports/{id}", self.report),
        ]

    async def list_tracks(self, request: Request) -> Response:
        """Answer with a part of the catalogue."""
        query = request.query_params
        words, offset, limit = query.get("search", "")[:MAX_TEXT], *_place(request)
        return as_json(await asyncio.to_thread(self._catalogue.part, words, offset, limit))

    async def add_track(self, request: Request) -> Response:
        """Add the file that is the body."""
        query = request.query_params
        tracks = self._changing
        duplicates = flag(query.get("duplicates", ""), "duplicates")
        return as_json(await tracks.add(request, query.get("name", ""), duplicates=duplicates))

    async def rename_track(self, request: Request) -> Response:
        """Change a track's title, artist or album."""
        tracks, key = self._changing, _key(request)
        return as_json(await tracks.rename(key, names_of(await body_of(request), required=False)))

    async def remove_track(self, request: Request) -> Response:
        """Remove a track."""
        key = _key(request)
        await self._changing.remove(key)
        return as_json({"removed": key})

    async def list_unknown(self, request: Request) -> Response:
        """Answer with what was played several times and has no name."""
        query = request.query_params
        offset, limit = _place(request)
        kind = query.get("kind", "music")
        if kind not in ("music", "all"):
            raise ValueError(f"kind={kind}: must be music or all")
        named = flag(query.get("named", ""), "named")
        unknown, music = self._repeats, kind == "music"
        return as_json(
            await asyncio.to_thread(
                unknown.part, music=music, named=named, offset=offset, limit=limit
            )
        )

    async def clip_of_unknown(self, request: Request) -> Response:
        """Answer with the sound of a piece."""
        query = request.query_params
        path = await asyncio.to_thread(
            self._repeats.clip, query.get("folder", ""), query.get("cluster", "")
        )
        if path is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "no sound of this piece is kept")
        return FileResponse(path, media_type="audio/wav")

    async def name_unknown(self, request: Request) -> Response:
        """Give a piece a name: it becomes a track."""
        unknown = self._repeats
        _ = self._changing
        body = await body_of(request)
        if not isinstance(body, dict):
            raise ValueError("the body must be a JSON object")
        place = [body.pop(name, "") for name in ("folder", "cluster", "kind")]
        folder, cluster, kind = (text if isinstance(text, str) else "" for text in place)
        if len(kind) > MAX_TEXT:
            raise ValueError(f"kind: has {len(kind)} characters, at most {MAX_TEXT}")
        names = names_of(body, required=True)
        if "album" in names:
            raise ValueError("album: is unknown; give title, artist and kind")
        return as_json(
            await unknown.name(folder, cluster, names["title"], names.get("artist", ""), kind)
        )

    async def about_reports(self, _: Request) -> Response:
        """Answer with the formats of reports."""
        return as_json(self._reporting.about())

    async def make_report(self, request: Request) -> Response:
        """Make a report."""
        reports = self._reporting
        return as_json(await reports.make(request, await body_of(request)))

    async def report(self, request: Request) -> Response:
        """Answer with a report that was made, to be shown or to be saved."""
        kept = self._reporting.get(request.path_params["id"])
        if kept is None or not await asyncio.to_thread(kept.path.is_file):
            raise HTTPException(
                HTTPStatus.NOT_FOUND, "this report is not kept any more; make it again"
            )
        is_shown = kept.path.suffix == ".html" and "save" not in request.query_params
        return FileResponse(
            kept.path,
            media_type=kept.media_type,
            filename=kept.path.name,
            content_disposition_type="inline" if is_shown else "attachment",
            headers={"Content-Security-Policy": _REPORT_POLICY},
        )

    @property
    def _catalogue(self) -> Tracks:
        if self._tracks is None:
            raise Refused(
                "identify.catalogue is empty: set it to the folder of a catalogue",
                HTTPStatus.NOT_IMPLEMENTED,
            )
        return self._tracks

    @property
    def _changing(self) -> Tracks:
        tracks = self._catalogue
        if not self._may_change:
            raise Refused(
                "web.may_change=false: the catalogue is not changed from here", HTTPStatus.FORBIDDEN
            )
        return tracks

    @property
    def _repeats(self) -> Unknown:
        if self._unknown is None:
            raise Refused(
                "repeats.folder is empty: set it, and airsift finds what is played again",
                HTTPStatus.NOT_IMPLEMENTED,
            )
        return self._unknown

    @property
    def _reporting(self) -> Reports:
        if self._reports is None:
            raise Refused(
                "there is no history to report from: start with --database URL, or airsift run "
                "with --sink database",
                HTTPStatus.NOT_IMPLEMENTED,
            )
        return self._reports


def _place(request: Request) -> tuple[int, int]:
    query = request.query_params
    return (
        whole(query.get("offset", "0"), "offset", 0, _FAR),
        whole(query.get("limit", _PART), "limit", 1, MAX_PART),
    )


def _key(request: Request) -> str:
    key = request.query_params.get("key", "")
    if not key:
        raise ValueError("key: give that of a track")
    return key
