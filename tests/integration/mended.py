"""kafka-python for noida-db, which names every transaction ever aborted in each answer.

A broker names those whose records lie at or behind the offset asked for; kafka-python relies on
it, and would take all that a producer writes after an abort for aborted too.

"""

from __future__ import annotations

from kafka.consumer.fetcher import Fetcher

_Records = Fetcher.PartitionRecords
_init = _Records.__init__


def _mended(self, fetch_offset, *args, aborted_transactions=None, **options):
    named = [t for t in aborted_transactions or () if t.first_offset >= fetch_offset]
    _init(self, fetch_offset, *args, aborted_transactions=named, **options)


def mend() -> None:
    """Leave out of the brokers' answers what is over."""
    _Records.__init__ = _mended
