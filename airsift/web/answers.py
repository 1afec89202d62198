"""Answers of the API, and how its questions are read."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from airsift.errors import AirsiftError, ConfigError
from airsift.web.child import Refused
from stream.lines import to_json_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from airsift.json_types import Json

MAX_BODY = 1 << 18  # bytes of JSON


def as_json(value: Json) -> Response:
    """Return an answer with JSON, whatever characters its texts have."""
    return Response(to_json_bytes(value), media_type="application/json")


async def body_of(request: Request) -> Json:
    """Read the JSON that is the body of a request.

    Raises
    ------
    Refused
        It is too large, or says that it is something else: a form of another page can send texts
        alone.
    ValueError
        It is no JSON.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refused("the body must be application/json", HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            raise Refused(
                f"the body has more than {MAX_BODY} bytes", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            )
    try:
        found: Json = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the body is no JSON") from None
    return found


def whole(text: str, name: str, least: int, most: int) -> int:
    """Read a whole number of a query.

    Raises
    ------
    ValueError
        It is none, or out of range.
    """
    if not text.isdecimal() or len(text) > 9 or not least <= int(text) <= most:
        raise ValueError(f"{name}={text}: must be a whole number from {least} to {most}")
    return int(text)


def flag(text: str, name: str) -> bool:
    """Read a flag of a query.

    Raises
    ------
    ValueError
        It is none.
    """
    if text not in ("", "0", "1", "false", "true"):
        raise ValueError(f"{name}={text}: must be 0 or 1")
    return text in ("1", "true")


def _error(status: int, reason: str) -> Response:
    return JSONResponse({"error": reason}, status_code=status)


def _http(_: Request, error: HTTPException) -> Response:
    return _error(error.status_code, error.detail)


def _bad_request(_: Request, error: ValueError) -> Response:
    return _error(HTTPStatus.BAD_REQUEST, str(error))


def _unavailable(_: Request, error: AirsiftError) -> Response:
    if isinstance(error, Refused):
        return _error(error.status, str(error))
    if isinstance(error, ConfigError):
        return _error(HTTPStatus.BAD_REQUEST, str(error))
    return _error(HTTPStatus.SERVICE_UNAVAILABLE, str(error))


ERRORS: dict[type[Exception], Callable[..., Response]] = {
    HTTPException: _http,
    ValueError: _bad_request,
    AirsiftError: _unavailable,
}
