"""Some keys of a topic as stations with names of their own.

Where a list names stations, a message is read as if its key were the station's name; others are
passed over. So the same key on two brokers is two stations, and what is stored of a station is
under its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream.kafka.records.consumer_record import Received

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.kafka.records.consumer_record import ConsumerRecord


class NamedKeys:
    """Which keys are read, and of which stations they are.

    Parameters
    ----------
    keys : mapping of str to str
        Of each station's name its key; each key once.
    """

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = dict(keys)
        self._names = {key.encode(): name.encode() for name, key in keys.items()}

    @property
    def stations(self) -> set[str]:
        """The names."""
        return set(self._keys)

    def key_of(self, station: str) -> str:
        """Return the key of a station; its name where it is none of these."""
        return self._keys.get(station, station)

    def named(self, message: ConsumerRecord) -> ConsumerRecord | None:
        """Return a message under its station's name; None where it is of none."""
        name = self._names.get(message.key or b"")
        return None if name is None else with_key(message, name)

    def as_sent(self, message: ConsumerRecord) -> ConsumerRecord:
        """Return a message of `named` as it is in the topic."""
        if message.key is None:
            return message
        return with_key(message, self.key_of(message.key.decode("utf-8", "replace")).encode())


def with_key(message: ConsumerRecord, key: bytes) -> ConsumerRecord:
    """Return a message with another key."""
    if message.key == key:
        return message
    return Received(
        message.topic,
        message.partition,
        message.offset,
        message.timestamp,
        key,
        message.value,
        message.headers,
    )
