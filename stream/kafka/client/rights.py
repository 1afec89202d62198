"""Checks this client's rights on a broker with ACLs; one line names each that is missing.

The check comes before anything is read or written, because the clients report a missing right late,
without its name, or never. A broker that has no ACLs or does not know the request reports nothing,
and all is allowed then.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    KafkaError,
    NotCoordinatorError,
)

from airsift.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kafka import KafkaAdminClient

    from stream.kafka.settings import KafkaSettings

UNKNOWN_TOPIC = 3
_NOT_AUTHORIZED = 29
_CREATE_S = 5.0  # until a new cluster has created the topic of its groups
_SOON = (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError)


class Right(NamedTuple):
    """One operation on one resource, with the names of Kafka's ACLs."""

    operation: str  # as kafka-acls takes it: Read, Write, Create, IdempotentWrite
    kind: str  # topic, group, transactional-id, cluster
    name: str = ""

    def __str__(self) -> str:
        return f"{self.operation} on {self.kind} {self.name}".rstrip()


def principal(settings: KafkaSettings) -> str:
    """Return this client's principal at the broker, as far as it is known here."""
    security = settings.security
    if security.by_token:
        return "the subject of the OAUTHBEARER token"
    if security.protocol.startswith("SASL"):
        return f"User:{security.username}"
    if security.certificate_file:
        return f"the subject of kafka.security.certificate_file={security.certificate_file!r}"
    return "User:ANONYMOUS (no kafka.security.username)"


def refusal(settings: KafkaSettings, missing: Sequence[Right]) -> BrokerError:
    """Return the error that names the rights, the principal, and how to grant the first."""
    who, first = principal(settings), missing[0]
    example = who if who == f"User:{settings.security.username}" else "PRINCIPAL"
    resource = f"--{first.kind} {first.name}".rstrip()
    return BrokerError(
        f"{who} has no right to {', '.join(map(str, missing))} at the Kafka broker "
        f"{settings.bootstrap_servers}; grant it there: kafka-acls.sh --add --allow-principal "
        f"{example} --operation {first.operation} {resource}"
    )


def refused(
    settings: KafkaSettings, error: BaseException, operation: str, topic: str = ""
) -> BrokerError:
    """Return the error that names the right for which a client failed.

    Parameters
    ----------
    settings : KafkaSettings
        The client's.
    error : BaseException
        As raised by kafka-python or aiokafka, whose classes have the same names.
    operation : str
        The operation on topics: Read, Write, Create or Alter.
    topic : str
        The topic, for errors that do not name it.
    """
    name = type(error).__name__
    if name == "GroupAuthorizationFailedError":
        lacking = [Right("Read", "group", settings.group)]
    elif name.startswith("TransactionalIdAuthorizationFailed"):
        id_ = settings.transactional_id or f"{settings.group}-*"
        lacking = [Right("Write", "transactional-id", id_)]
    elif operation in ("Create", "Alter"):
        lacking = [Right(operation, "topic", topic)]
    elif name == "ClusterAuthorizationFailedError":
        lacking = [Right("IdempotentWrite", "cluster")]
    else:
        names = [topic] if topic else topics_of(error)
        lacking = [Right(operation, "topic", name) for name in names or ["(unnamed)"]]
    return refusal(settings, lacking)


def missing_rights(
    admin: KafkaAdminClient, topics: Mapping[str, Iterable[str]], group: str = ""
) -> list[Right]:
    """Return the rights that a client lacks, as far as the broker reports.

    Parameters
    ----------
    admin : kafka.KafkaAdminClient
        Connected as this client.
    topics : mapping of str to iterable of str
        Operations needed on each topic: Read, Write. Topics that do not exist are skipped.
    group : str
        A consumer group that must be readable; "" for none.
    """
    missing = []
    for found in admin.describe_topics(list(topics)):
        name, granted = found["name"], found.get("authorized_operations")
        if found["error_code"] == _NOT_AUTHORIZED:
            missing += [Right(each, "topic", name) for each in topics[name] or ["Describe"]]
        elif granted:
            missing += [
                Right(operation, "topic", name)
                for operation in topics[name]
                if operation.upper() not in granted
            ]
    if group and not _may_read_group(admin, group):
        missing.append(Right("Read", "group", group))
    return missing


def _may_read_group(admin: KafkaAdminClient, group: str) -> bool:
    deadline = time.monotonic() + _CREATE_S
    while True:
        try:
            granted = admin.describe_groups([group])[group].get("authorized_operations")
        except GroupAuthorizationFailedError:
            return False
        except _SOON:
            if time.monotonic() > deadline:
                return True
            time.sleep(0.1)
        except (KafkaError, ValueError, KeyError):  # the embedded broker's answer cannot be parsed
            return True
        else:
            return not granted or "READ" in granted


def topics_of(error: BaseException) -> list[str]:
    """Return the topics that a client's error names, as strings or as a set."""
    names: list[str] = []
    for argument in error.args:
        with suppress(TypeError):
            names += [argument] if isinstance(argument, str) else map(str, argument)
    return sorted(set(names))
