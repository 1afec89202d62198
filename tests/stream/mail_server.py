"""Mail servers on the loopback for tests: they keep what they are sent.

One is a few lines that answer what a test wants. The other is aiosmtpd, with TLS and a login.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = cast("MailServer", self.server)
        while server.talks_for_ever:
            try:
                self._say("220-test")
            except OSError:
                return
            time.sleep(0.05)
        self._say("220 test")
        sender, receivers = "", list[str]()
        while line := self.rfile.readline().decode().strip():
            word = line.upper()
            if word.startswith(("EHLO", "HELO")):
                self._say("250 test")
            elif word.startswith("MAIL FROM:"):
                sender = line[10:].split(">")[0].strip("< ")
                self._say("250 ok")
            elif word.startswith("RCPT TO:"):
                receivers.append(line[8:].strip("<> "))
                self._say(server.answers.pop(0) if server.answers else "250 ok")
            elif word == "DATA":
                self._say("354 go on")
                lines = []
                while (data := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(data)
                message = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
                server.mails.append((sender, receivers, cast("EmailMessage", message)))
                self._say("250 taken")
            elif word == "QUIT":
                self._say(server.goodbye)
                return
            else:
                self._say("250 ok")

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class MailServer(socketserver.ThreadingTCPServer):
    """Takes every mail.

    Attributes
    ----------
    mails : list of (str, list of str, EmailMessage)
        Sender, receivers and message of each.
    answers : list of str
        What it answers to the next receivers.
    goodbye : str
        What it answers to QUIT.
    talks_for_ever : bool
        Whether its first answer has no end.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.mails: list[tuple[str, list[str], EmailMessage]] = []
        self.answers: list[str] = []
        self.goodbye, self.talks_for_ever = "221 bye", False

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self.server_address[1])


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Serve while the block runs."""
    with MailServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Inbox:
    """Keeps the mails that aiosmtpd accepts."""

    def __init__(self) -> None:
        self.mails: list[Envelope] = []

    async def handle_DATA(self, server: SMTP, session: object, envelope: Envelope) -> str:  # noqa: N802
        """Accept a mail; aiosmtpd calls it by this name."""
        del server, session
        self.mails.append(envelope)
        return "250 accepted"


@contextmanager
def tls_mail_server(
    context: ssl.SSLContext | None,
    *,
    at_once: bool = False,
    login: tuple[str, str] | None = None,
) -> Iterator[tuple[int, Inbox]]:
    """Serve mail with aiosmtpd while the block runs.

    Parameters
    ----------
    context : ssl.SSLContext, optional
        The server's certificate; None for a server without TLS.
    at_once : bool
        Whether TLS begins with the first byte, and not with STARTTLS, without which it then
        accepts no mail.
    login : (str, str), optional
        The user and password without which it accepts no mail.

    Yields
    ------
    int
        Its port on the loopback.
    Inbox
        What it has accepted.
    """

    def check(
        server: SMTP, session: object, envelope: Envelope, mechanism: str, given: LoginPassword
    ) -> AuthResult:
        del server, session, envelope, mechanism
        found = given.login.decode(), given.password.decode()
        return AuthResult(success=found == login, handled=False)

    inbox = Inbox()
    loop = asyncio.new_event_loop()
    starts_tls = context is not None and not at_once

    def session() -> SMTP:
        return SMTP(
            inbox,
            hostname="mail.example",
            tls_context=context if starts_tls else None,
            require_starttls=starts_tls,
            auth_required=login is not None,
            auth_require_tls=starts_tls,
            authenticator=check,
            loop=loop,
        )

    server = loop.run_until_complete(
        loop.create_server(session, "127.0.0.1", 0, ssl=context if at_once else None)
    )
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1], inbox
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        for task in asyncio.all_tasks(loop):  # connections that hang
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
