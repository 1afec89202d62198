"""Alarms to all targets of the configuration."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from stream.alarms.command import Command
from stream.alarms.delivery import Courier, Target
from stream.alarms.http_targets import Alertmanager, Webhook
from stream.alarms.mail import Mail
from stream.alarms.settings import secret_of
from stream.events import Alarm
from stream.sinks.base import Sink

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.alarms.settings import AlarmSettings
    from stream.events import Event

CLOSE_S = 3.0  # longest wait at the end, for all targets together


def targets_of(settings: AlarmSettings) -> list[Target]:
    """Return the targets of a configuration.

    Raises
    ------
    ConfigError
        A secret cannot be read.
    """
    timeout_s = settings.timeout_s
    targets: list[Target] = []
    hook, manager, mail = settings.webhook, settings.alertmanager, settings.email
    secret = secret_of(hook.secret_file, "alarms.webhook.secret_file") if hook.urls else ""
    for url in hook.urls:
        targets.append(Webhook(url.get_secret_value(), secret, hook.min_severity, timeout_s))
    for url in manager.urls:
        address = url.get_secret_value()
        targets.append(Alertmanager(address, manager.resend_s, manager.min_severity, timeout_s))
    if mail.to:
        password = secret_of(mail.password_file, "alarms.email.password_file")
        targets.append(Mail(mail, password, timeout_s))
    if settings.command.run:
        run, least = settings.command.run, settings.command.min_severity
        targets.append(Command(run, least, timeout_s))
    return targets


class AlarmSink(Sink):
    """Hands alarms to the couriers of all targets; other events are none of its business.

    Neither `write` nor `flush` ever waits: an alarm that could not be delivered when the process
    ends is lost to its target. Its event is not, it is on the topic or in the file.

    Parameters
    ----------
    targets : sequence of Target
        The target.
    settings : AlarmSettings
        Limits of the queues.
    open_alarms : callable
        Returns the alarms that are open, for targets that must be told again.
    now : callable
        The clock, in seconds.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        settings: AlarmSettings,
        open_alarms: Callable[[], Sequence[Event]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_alarms, self._now = open_alarms, now
        self._resend_s = settings.alertmanager.resend_s
        self._next = now()
        self._closed = False
        self._couriers = [
            Courier(target, settings.max_queue, settings.give_up_s) for target in targets
        ]

    @property
    def deliveries(self) -> Mapping[tuple[str, str], int]:
        """Messages to targets so far, by kind of target and by what became of them."""
        counts: dict[tuple[str, str], int] = {}
        for courier in self._couriers:
            for outcome, count in courier.counts.copy().items():
                key = courier.target.kind, outcome
                counts[key] = counts.get(key, 0) + count
        return counts

    @property
    def waiting(self) -> Mapping[str, int]:
        """Messages that wait, by kind of target."""
        counts: dict[str, int] = {}
        for each in self._couriers:
            counts[each.target.kind] = counts.get(each.target.kind, 0) + each.queued
        return counts

    def write(self, events: Sequence[Event]) -> None:
        """Hand over the alarms among events; return at once."""
        for event in events:
            if isinstance(event, Alarm):
                for courier in self._couriers:
                    courier.put(event)

    def flush(self) -> None:
        """Tell targets again of what is open, if that is due; return at once."""
        if self._now() < self._next:
            return
        self._next = self._now() + self._resend_s
        alarms = [event for event in self._open_alarms() if isinstance(event, Alarm)]
        for courier in self._couriers:
            courier.refresh(alarms)

    def close(self) -> None:
        """Give what waits a moment to be delivered."""
        if self._closed:
            return
        self._closed = True
        deadline = time.monotonic() + CLOSE_S
        for courier in self._couriers:
            courier.close(max(deadline - time.monotonic(), 0.0))
