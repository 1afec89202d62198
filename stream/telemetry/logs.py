"""Log lines as text or JSON, one line per record, with station and partition."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TextIO

from airsift.errors import AirsiftError
from airsift.json_types import JsonObject
from stream.lines import iso_time, one_line
from stream.sinks.terminal import aside
from stream.telemetry.repeats import RepeatsHandler

# Fields of a record besides its message: ``log.info(..., extra={"station": "x"})``.
# `repeated` and `stations` are fields of summaries: `stream.telemetry.repeats`.
FIELDS = ("station", "partition", "kafka_offset", "repeated", "stations")
_IN_TEXT = ("repeated", "stations")  # the message holds them too
MAX_FIELD = 200  # characters; the sender of audio chooses the station's name
# Level of other libraries: at "info" they log every connection.
OTHERS = logging.WARNING

log = logging.getLogger(__name__)


class JsonFormatter(logging.Formatter):  # logging's handlers ask for one
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message`` and known fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line; a traceback is in its ``error``."""
        document = {
            "time": iso_time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            document["error"] = self.formatException(record.exc_info)
        return json.dumps(document, default=str)


class TextFormatter(logging.Formatter):  # logging's handlers ask for one
    """Time, level, message and known fields, in one line whatever the message holds."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line; of an exception, type and text."""
        parts = [iso_time(record.created), record.levelname.lower(), record.getMessage()]
        fields = _fields(record).items()
        parts += [f"{name}={value}" for name, value in fields if name not in _IN_TEXT]
        if record.exc_info and record.exc_info[1] is not None:
            parts.append(f"({type(record.exc_info[1]).__name__}: {record.exc_info[1]})")
        return one_line(" ".join(" ".join(parts).split()))


class LinesHandler(logging.StreamHandler[TextIO]):  # logging's handlers ask for one
    """Writes lines above what is drawn on the terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record's line."""
        with aside(self.stream):
            super().emit(record)


@contextmanager
def logging_to(
    stream: TextIO | None = None,
    *,
    style: Literal["text", "json"] = "text",
    level: Literal["debug", "info", "warning", "error"] = "info",
) -> Iterator[RepeatsHandler]:
    """Write log lines while the block runs; as JSON also the error that ends it.

    Repeated lines are summed up: call `RepeatsHandler.sum_up` about once a second.

    Parameters
    ----------
    stream : text stream, optional
        Destination; default: standard error.
    style : str
        "text" for people, "json" for machines.
    level : str
        Minimum level of airsift's own lines.
    """
    writer = LinesHandler(sys.stderr if stream is None else stream)
    writer.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    handler = RepeatsHandler(writer)
    ours = [logging.getLogger(name) for name in ("airsift", "stream", "model", "fingerprint")]
    before = [logger.level for logger in ours]
    root = logging.getLogger()
    root_before = root.level
    root.addHandler(handler)
    root.setLevel(OTHERS)
    for logger in ours:
        logger.setLevel(level.upper())
    try:
        yield handler
    except Exception as error:
        if style == "json":
            # As text, the command line prints the error.
            log.critical("%s", error, exc_info=not isinstance(error, AirsiftError))
        raise
    finally:
        root.removeHandler(handler)
        handler.sum_up(all_of_them=True)
        root.setLevel(root_before)
        for logger, value in zip(ours, before, strict=True):
            logger.setLevel(value)


def _fields(record: logging.LogRecord) -> JsonObject:
    known: JsonObject = {name: getattr(record, name, None) for name in FIELDS}
    return {
        name: value[:MAX_FIELD] if isinstance(value, str) else value
        for name, value in known.items()
        if value is not None
    }
