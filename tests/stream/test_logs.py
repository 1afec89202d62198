from __future__ import annotations

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import BrokerError
from stream.watch.logs import JsonFormatter, TextFormatter, logging_to

log = logging.getLogger("stream.somewhere")


def lines(style, say, level="info"):
    out = io.StringIO()
    with logging_to(out, style=style, level=level):
        say()
    return out.getvalue().splitlines()


def test_a_record_is_one_json_object_with_its_station_and_partition():
    [line] = lines(
        "json",
        lambda: log.warning(
            "%d bytes", 7, extra={"station": "Süd", "partition": 0, "kafka_offset": 9}
        ),
    )
    document = json.loads(line)
    assert document.pop("time").endswith("Z")
    assert document == {
        "level": "warning",
        "logger": "stream.somewhere",
        "message": "7 bytes",
        "station": "Süd",
        "partition": 0,
        "kafka_offset": 9,
    }


def test_a_record_is_one_line_for_people():
    [line] = lines("text", lambda: log.info("lost\n its  way", extra={"station": "one"}))
    assert line.endswith("Z info lost its way station=one")


@given(st.text(), st.text(max_size=400))
def test_whatever_is_said_is_one_line(message, station):
    record = logging.LogRecord("stream", logging.INFO, "", 0, "%s", (message,), None)
    record.station = station
    for formatter in (JsonFormatter(), TextFormatter()):
        assert len(formatter.format(record).splitlines()) == 1
    assert json.loads(JsonFormatter().format(record))["station"] == station[:200]


def test_a_traceback_stays_in_its_line():
    def say():
        try:
            raise ValueError("of\nno use")
        except ValueError:
            log.exception("went wrong")

    [line] = lines("json", say)
    assert "Traceback" in json.loads(line)["error"]
    [line] = lines("text", say)
    assert line.endswith("went wrong (ValueError: of no use)")


def test_other_libraries_speak_up_only_when_something_is_wrong():
    def say():
        for name in ("stream.x", "urllib3"):
            logging.getLogger(name).info("info of %s", name)
            logging.getLogger(name).warning("warning of %s", name)

    told = [line.split("Z ")[1] for line in lines("text", say)]
    assert told == [
        "info info of stream.x",
        "warning warning of stream.x",
        "warning warning of urllib3",
    ]
    assert [line.split("Z ")[1] for line in lines("text", say, "warning")] == told[1:]


@pytest.mark.parametrize(
    ("error", "traceback"), [(BrokerError("no broker"), False), (RuntimeError("odd"), True)]
)
def test_the_error_that_ends_a_run_is_a_json_line_too(error, traceback):
    out = io.StringIO()
    with pytest.raises(type(error)), logging_to(out, style="json"):
        raise error
    document = json.loads(out.getvalue())
    assert (document["level"], document["message"]) == ("critical", str(error))
    assert ("error" in document) is traceback


def test_afterwards_logging_is_as_it_was():
    root = logging.getLogger()
    before = (root.level, list(root.handlers), logging.getLogger("stream").level)
    lines("text", lambda: None, "debug")
    assert (root.level, list(root.handlers), logging.getLogger("stream").level) == before
