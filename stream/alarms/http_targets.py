"""Alarms over HTTP: a webhook of one's own, and Alertmanager."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from stream.alarms.delivery import DeliveryError, Target
from stream.lines import iso_time, one_line, to_json_bytes
from stream.ranges import is_time
from stream.sources.web_address import public_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from airsift.json_types import JsonObject
    from stream.events import Alarm

_LATER = {408, 425, 429}  # statuses below 500 with which a server asks to try again
_MAX_ANSWER = 200  # bytes of an answer that are shown
# Alertmanager holds an alert for over after so many intervals without a message.
_INTERVALS = 4


def post(url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> None:
    """Post JSON to an address. Redirections are not followed.

    Raises
    ------
    DeliveryError
        The server cannot be reached, takes longer than `timeout_s`, or does not accept it.
    """
    parts = urlsplit(url)
    assert parts.hostname
    sent = {"Content-Type": "application/json", "User-Agent": "airsift", **headers}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        sent["Authorization"] = "Basic " + b64encode(login.encode()).decode()
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=timeout_s, context=context
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
    timer = None
    try:
        connection.connect()
        # The timeout of a socket begins anew with each byte of an answer; this one does not.
        timer = threading.Timer(timeout_s, _cut, [connection.sock])
        timer.daemon = True
        timer.start()
        connection.request("POST", path, body, sent)
        answer = connection.getresponse()
        status, text = answer.status, answer.read(_MAX_ANSWER)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DeliveryError(f"{type(error).__name__}: {one_line(str(error))[:200]}") from None
    finally:
        if timer is not None:
            timer.cancel()
        connection.close()
    if not 200 <= status < 300:
        said = one_line(text.decode("utf-8", "replace")).strip()
        is_final = 300 <= status < 500 and status not in _LATER
        raise DeliveryError(f"status {status} {said}".strip(), is_final=is_final)


def _cut(connection: socket.socket) -> None:
    """End whatever waits for a connection."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class Webhook(Target):
    """Posts the event ``airsift.alarm/1`` as JSON.

    Parameters
    ----------
    url : str
        The address; a login in it is sent as HTTP's basic one.
    secret : str
        Key of the header ``X-Airsift-Signature``, ``sha256=`` and the HMAC-SHA256 of the body; ""
        for none.
    min_severity : {"warning", "critical"}
        The least that is posted.
    timeout_s : float > 0
        For one attempt.
    """

    kind = "webhook"

    def __init__(self, url: str, secret: str, min_severity: str, timeout_s: float) -> None:
        self.name = f"webhook {public_name(url)}"
        self.min_severity = min_severity
        self._url, self._secret, self._timeout_s = url, secret, timeout_s

    def send(self, alarm: Alarm) -> None:
        body = alarm.to_bytes()
        state = "closed" if alarm.final else "escalated" if alarm.escalated else "open"
        # The same for the same news, also where it is sent twice.
        digest = hashlib.sha256(f"{alarm.id}/{state}".encode()).hexdigest()
        headers = {"Idempotency-Key": digest}
        if self._secret:
            signature = hmac.new(self._secret.encode(), body, hashlib.sha256).hexdigest()
            headers["X-Airsift-Signature"] = f"sha256={signature}"
        post(self._url, body, headers, self._timeout_s)


class Alertmanager(Target):
    """Posts alerts to ``/api/v2/alerts`` of an Alertmanager, and again while they are open.

    Alertmanager tells alerts apart by their labels: ``alertname``, ``station``, ``group`` and
    ``severity``. One that escalates is over with its old severity, and begins with the new one.

    Parameters
    ----------
    url : str
        Of the Alertmanager, without ``/api/v2/alerts``.
    resend_s : float > 0
        Seconds between two messages about what is open.
    min_severity : {"warning", "critical"}
        The least that is posted.
    timeout_s : float > 0
        For one attempt.
    now : callable
        Unix time in seconds.
    """

    kind = "alertmanager"

    def __init__(
        self,
        url: str,
        resend_s: float,
        min_severity: str,
        timeout_s: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name = f"alertmanager {public_name(url)}"
        self.min_severity = min_severity
        self._url = url.rstrip("/") + "/api/v2/alerts"
        self._resend_s, self._timeout_s, self._now = resend_s, timeout_s, now

    def send(self, alarm: Alarm) -> None:
        alerts = [self._alert(alarm, alarm.severity, is_over=alarm.final)]
        if alarm.escalated and not alarm.final:
            alerts.insert(0, self._alert(alarm, "warning", is_over=True))
        self._post(alerts)

    def refresh(self, alarms: Sequence[Alarm]) -> None:
        if alarms:
            self._post([self._alert(each, each.severity, is_over=False) for each in alarms])

    def _post(self, alerts: list[JsonObject]) -> None:
        post(self._url, to_json_bytes(list(alerts)), {}, self._timeout_s)

    def _alert(self, alarm: Alarm, severity: str, *, is_over: bool) -> JsonObject:
        now = self._now()
        ends = now if is_over else now + _INTERVALS * self._resend_s
        alert: JsonObject = {
            "labels": {
                "alertname": f"airsift_{alarm.rule}",
                "station": alarm.station,
                "severity": severity,
                **({"group": alarm.group} if alarm.group else {}),
            },
            "annotations": {
                "summary": f"{one_line(alarm.station)}: {alarm.text}",
                "id": alarm.id,
            },
            "endsAt": iso_time(ends),
        }
        if alarm.time is not None and is_time(alarm.time):
            alert["startsAt"] = iso_time(min(alarm.time, ends))
        return alert
