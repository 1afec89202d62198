"""A worker's transactional id, which no other worker may use at the same time.

Kafka lets the newest producer of an id continue and fences the others in the middle of their work.
Two workers with one id would end each other forever, so a worker checks before it takes an id:

- On its own machine, a lock of the operating system shows whether another process has the id. It is
  free as soon as that process has ended, also after a kill -9, so a restart does not wait.
- For other machines, the consumer group shows it: its members carry id and host name as
  ``client.id``. A dead one remains a member until its session ends, and is waited for that long.

Without `kafka.transactional_id` the id consists of group, host name and the first number that no
other worker of this machine has, so it is the same after a restart.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import logging
import socket
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypedDict

from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    GroupIdNotFoundError,
    NotCoordinatorError,
)

from airsift.errors import BrokerError, ConfigError
from stream.kafka.client.connect import broker_errors, connect_admin
from stream.kafka.client.privates import cluster_id

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

    from stream.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

_POLL_S = 0.2
_MARGIN_S = 2.0  # a broker notices the end of a session a little later

Lock = socket.socket | IO[str]


class Identity:
    """A transactional id that is this worker's until `close`, or until the process ends.

    Parameters
    ----------
    settings : KafkaSettings
        Broker, group and, where it is given, `transactional_id`.

    Attributes
    ----------
    name : str
        The id.
    client_id : str
        The ``client.id`` for the group's consumer, by which others find the id taken.

    Raises
    ------
    ConfigError
        Another worker has the id.
    BrokerError
        No broker answers.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._host = socket.gethostname()
        with closing(connect_admin(settings)) as admin:
            cluster = cluster_id(admin) or settings.bootstrap_servers
            self.name, self._lock = self._acquire(cluster)
            try:
                self._wait_for_others(admin)
            except BaseException:
                self.close()
                raise

    @property
    def client_id(self) -> str:
        """The ``client.id`` for the group's consumer."""
        return f"{self._prefix}{self._host}"

    def close(self) -> None:
        """Release the id."""
        self._lock.close()

    @property
    def _prefix(self) -> str:
        return f"airsift-{self.name}@"

    def _acquire(self, cluster: str) -> tuple[str, Lock]:
        """Return the id and the lock on it."""
        wanted, group = self._settings.transactional_id, self._settings.group
        if wanted:
            lock = _lock(f"{cluster}/{wanted}")
            if lock is None:
                raise ConfigError(self._refusal(wanted, "this machine"))
            return wanted, lock
        for number in itertools.count():
            name = f"{group}-{self._host}-{number}"
            lock = _lock(f"{cluster}/{name}")
            if lock is not None:
                return name, lock
        raise AssertionError

    def _wait_for_others(self, admin: KafkaAdminClient) -> None:
        """Wait until no member on another machine has the id; raise if one does not leave."""
        deadline = time.monotonic() + self._settings.session_timeout_s + _MARGIN_S
        is_logged = False
        while hosts := self._hosts(admin):
            where = " and ".join(sorted(hosts))
            if time.monotonic() > deadline:
                raise ConfigError(self._refusal(self.name, where))
            if not is_logged:
                is_logged = True
                log.info(
                    "a worker on %s has kafka.transactional_id=%s: waiting whether it is gone",
                    where,
                    self.name,
                )
            time.sleep(_POLL_S)

    def _hosts(self, admin: KafkaAdminClient) -> set[str]:
        """Return the other machines whose members of the group have the id."""
        clients = [member["client_id"] for member in _members(self._settings, admin)]
        return {
            client.removeprefix(self._prefix)
            for client in clients
            if client.startswith(self._prefix) and client != self.client_id
        }

    def _refusal(self, name: str, where: str) -> str:
        return (
            f"kafka.transactional_id={name!r} is taken: another worker on {where} runs with it; "
            "give each worker its own, or leave it empty for one made of the host name and a number"
        )


class _Member(TypedDict):
    client_id: str


def _members(settings: KafkaSettings, admin: KafkaAdminClient) -> list[_Member]:
    """Return the members of the group, after waiting for a new cluster to set up a coordinator."""
    deadline = time.monotonic() + settings.request_timeout_s
    while True:
        error = ""
        try:
            with broker_errors(settings):
                group = admin.describe_groups([settings.group])[settings.group]
            error = group["error"] or ""
            if not error or GroupIdNotFoundError.__name__ in error:
                members: list[_Member] = group["members"]
                return members
            if not any(each.__name__ in error for each in _COORDINATOR):
                raise BrokerError(
                    f"the Kafka broker at {settings.bootstrap_servers} does not say who is in "
                    f"kafka.group={settings.group!r}: {error}"
                )
        except ValueError as unreadable:  # rights that kafka-python does not know
            log.info("the members of kafka.group=%s are not known: %s", settings.group, unreadable)
            return []
        except BrokerError as failure:
            if not isinstance(failure.__cause__, _COORDINATOR):
                raise
            error = str(failure)
        if time.monotonic() > deadline:
            raise BrokerError(
                f"kafka.group={settings.group!r} has no coordinator within "
                f"kafka.request_timeout_s={settings.request_timeout_s:g}: {error}"
            )
        time.sleep(_POLL_S)


_COORDINATOR = (CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError)


def _lock(name: str) -> Lock | None:
    """Return what locks a name on this machine while it is open; None if another process does."""
    short = f"airsift-{hashlib.sha256(name.encode()).hexdigest()[:40]}"
    if sys.platform == "linux":
        # In Linux's abstract namespace, which needs no writable directory.
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            lock.bind(f"\0{short}")
        except OSError:
            lock.close()
            return None
        return lock
    return _lock_file(Path(tempfile.gettempdir()) / f"{short}.lock")


def _lock_file(path: Path) -> IO[str] | None:
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file
