"""Alarms by mail."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
import threading
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import TYPE_CHECKING, Any

from stream.alarms.delivery import DeliveryError, Target
from stream.lines import iso_time, one_line
from stream.ranges import is_time

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream.alarms.settings import EmailSettings
    from stream.events import Alarm

_MAX_SUBJECT = 150


class Mail(Target):
    """Sends a mail for each alarm that opens, escalates or closes.

    Parameters
    ----------
    settings : EmailSettings
        Sender, receivers and the server.
    password : str
        For `settings.username`.
    timeout_s : float > 0
        For one attempt.
    """

    kind = "email"

    def __init__(self, settings: EmailSettings, password: str, timeout_s: float) -> None:
        self.name = f"email to {', '.join(settings.to)}"
        self.min_severity = settings.min_severity
        self._settings, self._password, self._timeout_s = settings, password, timeout_s

    def send(self, alarm: Alarm) -> None:
        message = mail_of(alarm, self._settings)
        try:
            refused = self._sent(message)
        except smtplib.SMTPResponseException as error:
            said = error.smtp_error
            text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
            reason = f"the server says {error.smtp_code} {one_line(text)[:200]}"
            raise DeliveryError(reason, is_final=error.smtp_code >= 500) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            reason = f"the server refuses {', '.join(error.recipients)}"
            raise DeliveryError(reason, is_final=min(codes, default=0) >= 500) from None
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise DeliveryError(f"{type(error).__name__}: {one_line(str(error))[:200]}") from None
        if refused:  # the others have it, and would get it again
            reason = f"the server refuses {', '.join(refused)}, not the others"
            raise DeliveryError(reason, is_final=True)

    def _sent(self, message: EmailMessage) -> Iterable[str]:
        """Send a mail; return the receivers that are refused, where others are not."""
        server = self._connected()
        try:
            if self._settings.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if self._settings.username:
                server.login(self._settings.username, self._password)
            refused = server.send_message(message, self._settings.sender, self._settings.to)
            with contextlib.suppress(OSError, smtplib.SMTPException):
                server.quit()  # whatever it answers, the mail is accepted
            return refused
        finally:
            server.close()

    def _connected(self) -> _Connection:
        host, port = self._settings.host, self._settings.port
        if self._settings.security == "tls":
            context = ssl.create_default_context()
            return _TlsConnection(host, port, timeout=self._timeout_s, context=context)
        return _Connection(host, port, timeout=self._timeout_s)


class _Connection(smtplib.SMTP):
    """One that is cut after its timeout; that of a socket begins anew with each byte."""

    def connect(
        self, host: str = "localhost", port: int = 0, source_address: Any = None
    ) -> tuple[int, bytes]:
        self._timer = threading.Timer(self.timeout, self._cut)
        self._timer.daemon = True
        self._timer.start()
        return super().connect(host, port, source_address)

    def close(self) -> None:
        self._timer.cancel()
        super().close()

    def _cut(self) -> None:
        if self.sock is not None:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)


class _TlsConnection(_Connection, smtplib.SMTP_SSL):
    """The same, encrypted from its first byte."""


def mail_of(alarm: Alarm, settings: EmailSettings) -> EmailMessage:
    """Return the mail about an alarm; all mails of one alarm are one thread."""
    state = "over" if alarm.final else alarm.severity
    station, text = one_line(alarm.station), one_line(alarm.text)
    domain = settings.sender.rpartition("@")[2]
    message = EmailMessage()
    subject = f"[airsift] {state}: {station}: {text}"[:_MAX_SUBJECT]
    # Python decodes the encoded words of RFC 2047 in a header that is set: a name could hold a line
    # end in one, and headers behind it.
    message["Subject"] = subject.replace("=?", "= ?")
    message["From"] = settings.sender
    message["To"] = ", ".join(settings.to)
    message["Date"] = formatdate(localtime=False)
    message["Message-ID"] = make_msgid(domain=domain)
    message["Auto-Submitted"] = "auto-generated"
    since = "a time that is not known"
    if alarm.time is not None and is_time(alarm.time):
        since = iso_time(alarm.time, "seconds")
    lines = [
        f"station   {station}",
        *([f"group     {one_line(alarm.group)}"] if alarm.group else []),
        f"alarm     {alarm.rule}: {text}",
        f"severity  {alarm.severity}",
        f"state     {f'over ({alarm.reason})' if alarm.final else 'open'}",
        f"since     {since}",
        f"id        {one_line(alarm.id)}",
    ]
    message.set_content("\n".join(lines) + "\n")
    return message
