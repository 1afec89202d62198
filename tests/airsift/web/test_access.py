"""Who may use the page."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

import pytest

from airsift.errors import ConfigError
from airsift.web.access import COOKIE, Access
from airsift.web.settings import WebSettings

TOKEN = "0123456789abcdef-+/="


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n", encoding="utf-8")
    return str(path)


def status(access: Access, **given: object) -> int | None:
    """Return the status of a refusal, or None."""
    headers = {"host": "127.0.0.1:8420"} | given.pop("headers", {})  # type: ignore[operator]
    asked = {"method": "GET", "path": "/", "peer": "127.0.0.1", "is_socket": False} | given
    refusal = access.refusal(headers=headers, **asked)  # type: ignore[arg-type]
    return None if refusal is None else int(refusal.status)


HOSTS = {
    "127.0.0.1:8420": True, "localhost": True, "LOCALHOST:1": True, "[::1]:8420": True,
    "192.168.1.7": True, "desk.example:80": True, "evil.example": False, "": False,
    "127.0.0.1.evil.example": False, "localhost.evil.example": False,
    "127.0.0.1@evil.example": False,
    "[::1": False, "2130706433": False,
}  # fmt: skip


@pytest.mark.parametrize(("host", "is_ours"), HOSTS.items())
def test_only_our_names_are_answered_so_that_no_page_can_rebind_its_own(host, is_ours) -> None:
    access = Access(WebSettings.default(hosts=["desk.example"]))
    refused = None if is_ours else HTTPStatus.MISDIRECTED_REQUEST
    assert status(access, headers={"host": host}) == refused


ORIGINS = {
    "http://127.0.0.1:8420": True, "https://127.0.0.1:8420": True, "http://evil.example": False,
    "http://127.0.0.1:8421": False, "null": False, "": False,
}  # fmt: skip


@pytest.mark.parametrize(("origin", "is_ours"), ORIGINS.items())
@pytest.mark.parametrize("asked", [{"is_socket": True}, {"method": "POST"}, {"method": "GET"}])
def test_pages_of_others_can_open_no_socket_and_change_nothing(origin, is_ours, asked) -> None:
    access = Access(WebSettings.default())
    is_refused = not is_ours and asked != {"method": "GET"}
    found = status(access, headers={"origin": origin}, **asked)
    assert found == (HTTPStatus.FORBIDDEN if is_refused else None)


def test_programs_without_an_origin_may() -> None:
    assert status(Access(WebSettings.default()), is_socket=True) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost", "127.8.9.1"])
def test_on_loopback_everybody_may(address) -> None:
    assert status(Access(WebSettings.default(address=address))) is None


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.7", "desk.example"])
def test_elsewhere_nobody_may_without_a_token_or_a_proxy(address, token_file) -> None:
    with pytest.raises(ConfigError, match=f"web.address='{address}'.*web.token_file"):
        Access(WebSettings.default(address=address))
    assert status(Access(WebSettings.default(address=address, token_file=token_file))) == 401
    proxied = Access(WebSettings.default(address=address, proxy_header="X-User"))
    assert status(proxied) == 401


def test_a_token_is_given_in_a_header_or_as_a_cookie(token_file) -> None:
    access = Access(WebSettings.default(token_file=token_file))
    given = {
        f"Bearer {TOKEN}": None, f"bearer  {TOKEN} ": None, "Bearer": 401, f"Basic {TOKEN}": 401,
        f"Bearer {TOKEN}x": 401, "Bearer \xff": 401,
    }  # fmt: skip
    for value, expected in given.items():
        assert status(access, headers={"authorization": value}) == expected, value
    assert status(access, headers={"cookie": f"a=b; {COOKIE}={access.cookie}"}) is None
    assert status(access, headers={"cookie": f"{COOKIE}={TOKEN}"}) == 401
    assert status(access, headers={"cookie": f"{COOKIE}=\xff;;=,"}) == 401
    assert TOKEN not in access.cookie
    assert status(access, is_socket=True) == 401
    assert status(access, path="/login") is None
    assert status(access, path="/static/app.js") == 401


def test_a_proxy_is_believed_by_its_address() -> None:
    settings = WebSettings.default(
        address="0.0.0.0", proxy_header="X-Forwarded-User", proxy_addresses=["10.0.0.1"]
    )
    access = Access(settings)
    named = {"x-forwarded-user": "ada"}
    assert status(access, headers=named, peer="10.0.0.1") is None
    assert status(access, headers=named, peer="10.0.0.2") == 401
    assert status(access, headers={"x-forwarded-user": ""}, peer="10.0.0.1") == 401
    assert status(access, peer="10.0.0.1") == 401


@pytest.mark.parametrize(
    "content", [None, "", "short", b"\xff" * 20, "two\nlines of a file", "ä" * 20]
)
def test_a_token_that_can_be_guessed_or_not_read_is_refused(content, tmp_path) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=r"web\.token_file"):
        Access(WebSettings.default(token_file=str(path)))
