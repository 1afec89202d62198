"""Alarms by mail to a server with TLS and a login, as most are."""

from __future__ import annotations

import email
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.policy import default

import pytest

from stream.alarms.delivery import DeliveryError
from stream.alarms.mail import Mail
from stream.alarms.settings import EmailSettings
from stream.events import Alarm
from tests.integration.certificates import Authority
from tests.stream.mail_server import tls_mail_server

pytestmark = [
    pytest.mark.process,  # the openssl command makes the certificates
    # aiosmtpd does not know that the connection is encrypted from its first byte.
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS"),
]
RATE = 16_000
OPENED = Alarm(
    "radio", 5 * RATE, 20 * RATE, RATE, 1.7e9, "dead_air", False, "warning", False, -71.5, -50.0,
    "", "dead air for 15 s", "north",
)  # fmt: skip
LOGIN = "desk", "a password"
SECURITY = ["starttls", "tls"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def context(authority: Authority) -> ssl.SSLContext:
    return authority.server()


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))


def mail(port: int, security: str, *, password: str = "", timeout_s: float = 10.0) -> Mail:
    login = {"username": LOGIN[0], "password_file": "not read here"} if password else {}
    found = EmailSettings.default(
        to=["desk@radio.example"], sender="airsift@radio.example", host="127.0.0.1", port=port,
        security=security, **login,
    )  # fmt: skip
    return Mail(found, password, timeout_s)


def refusal(target: Mail) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        target.send(OPENED)
    return caught.value


@pytest.mark.parametrize("security", SECURITY)
@pytest.mark.parametrize("login", [None, LOGIN])
@pytest.mark.usefixtures("trusted")
def test_a_mail_over_tls(
    context: ssl.SSLContext, security: str, login: tuple[str, str] | None
) -> None:
    at_once = security == "tls"
    with tls_mail_server(context, at_once=at_once, login=login) as (port, inbox):
        target = mail(port, security, password=login[1] if login else "")
        target.send(OPENED)
        target.send(replace(OPENED, final=True, reason="over"))
    assert [each.mail_from for each in inbox.mails] == ["airsift@radio.example"] * 2
    assert inbox.mails[0].rcpt_tos == ["desk@radio.example"]
    first = email.message_from_bytes(inbox.mails[0].content, policy=default)  # type: ignore[arg-type]
    assert first["Subject"] == "[airsift] warning: radio: dead air for 15 s"


@pytest.mark.parametrize("security", SECURITY)
@pytest.mark.usefixtures("trusted")
def test_a_login_that_is_refused_is_final_and_says_no_password(
    context: ssl.SSLContext, security: str
) -> None:
    """An account is locked by one that is tried again and again."""
    with tls_mail_server(context, at_once=security == "tls", login=LOGIN) as (port, inbox):
        error = refusal(mail(port, security, password="another"))
    assert error.is_final
    assert "535" in str(error)
    assert "another" not in str(error)
    assert not inbox.mails


@pytest.mark.parametrize("security", SECURITY)
@pytest.mark.parametrize("fault", ["another authority", "another host", "expired"])
def test_a_certificate_that_does_not_fit(
    authority: Authority,
    context: ssl.SSLContext,
    security: str,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No mail, and no password, to whoever cannot show who he is."""
    if fault != "another authority":
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
        wrong = {"days": -1} if fault == "expired" else {"host": "DNS:other.example"}
        context = authority.server("wrong", **wrong)
    with tls_mail_server(context, at_once=security == "tls", login=LOGIN) as (port, inbox):
        error = refusal(mail(port, security, password=LOGIN[1]))
    assert "certificate verify failed" in str(error)
    assert not error.is_final  # somebody may renew it
    assert not inbox.mails


def test_a_server_without_tls_is_told_nothing() -> None:
    with tls_mail_server(None) as (port, inbox):
        assert "STARTTLS" in str(refusal(mail(port, "starttls", password=LOGIN[1])))
        assert "SSL" in str(refusal(mail(port, "tls", password=LOGIN[1])))
    assert not inbox.mails


@pytest.mark.usefixtures("trusted")
def test_a_server_that_wants_a_login_and_is_given_none(context: ssl.SSLContext) -> None:
    with tls_mail_server(context, login=LOGIN) as (port, _):
        error = refusal(mail(port, "starttls"))
    assert error.is_final
    assert "530" in str(error)


@contextmanager
def silent_server(*said: bytes) -> Iterator[int]:
    """Serve what is said line for line, each behind a line of the client, and then hang."""
    ends = threading.Event()

    def serve(listening: socket.socket) -> None:
        with listening, listening.accept()[0] as connection:
            for part in said:
                connection.sendall(part)
                connection.recv(1000)
            ends.wait(30)

    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, args=(listening,), daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        ends.set()
        thread.join(10)


@pytest.mark.parametrize(
    ("security", "said"),
    [
        ("tls", []),  # in the handshake
        ("starttls", []),
        ("starttls", [b"220 mail.example\r\n"]),
        ("starttls", [b"220 mail.example\r\n", b"250-a\r\n250 STARTTLS\r\n"]),
        ("starttls", [b"220 a\r\n", b"250-a\r\n250 STARTTLS\r\n", b"220 go on\r\n"]),
        # A record of TLS that has only begun.
        ("starttls", [b"220 a\r\n", b"250-a\r\n250 STARTTLS\r\n", b"220 b\r\n", b"\x16\3\3\x40\0"]),
    ],
)  # fmt: skip
def test_a_server_that_hangs_is_left_after_the_timeout(security: str, said: list[bytes]) -> None:
    with silent_server(*said) as port:
        began = time.monotonic()
        error = refusal(mail(port, security, timeout_s=0.3))
        assert time.monotonic() - began < 5
    assert not error.is_final
