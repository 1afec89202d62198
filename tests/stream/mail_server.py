"""A mail server on the loopback for tests: it keeps what it is sent."""

from __future__ import annotations

import email
import email.policy
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import cast


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
