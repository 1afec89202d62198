from __future__ import annotations

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import BrokerError
from stream.telemetry import repeats
from stream.telemetry.logs import JsonFormatter, TextFormatter, logging_to
from stream.telemetry.repeats import Repeats

log = logging.getLogger("stream.somewhere")


def lines(style, emit, level="info"):
    out = io.StringIO()
    with logging_to(out, style=style, level=level):
        emit()
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
def test_every_message_is_one_line(message, station):
    record = logging.LogRecord("stream", logging.INFO, "", 0, "%s", (message,), None)
    record.station = station
    for formatter in (JsonFormatter(), TextFormatter()):
        assert len(formatter.format(record).splitlines()) == 1
    assert json.loads(JsonFormatter().format(record))["station"] == station[:200]


def test_a_traceback_stays_in_its_line():
    def emit():
        try:
            raise ValueError("of\nno use")
        except ValueError:
            log.exception("went wrong")

    [line] = lines("json", emit)
    assert "Traceback" in json.loads(line)["error"]
    [line] = lines("text", emit)
    assert line.endswith("went wrong (ValueError: of no use)")


def test_other_libraries_speak_up_only_when_something_is_wrong():
    def emit():
        for name in ("stream.x", "urllib3"):
            logging.getLogger(name).info("info of %s", name)
            logging.getLogger(name).warning("warning of %s", name)

    messages = [line.split("Z ")[1] for line in lines("text", emit)]
    assert messages == [
        "info info of stream.x",
        "warning warning of stream.x",
        "warning warning of urllib3",
    ]
    assert [line.split("Z ")[1] for line in lines("text", emit, "warning")] == messages[1:]


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


def record(name, level, template, *arguments, station=None):
    made = logging.LogRecord(name, level, "", 0, template, arguments, None)
    if station is not None:
        made.station = station
    return made


calls = st.tuples(
    st.sampled_from(["stream.a", "kafka", "urllib3"]),
    st.sampled_from([logging.DEBUG, logging.WARNING, logging.ERROR]),
    st.sampled_from(["refused: %s", "plain", "50 %", "other %s", "more %s", "and %s", "last %s"]),
    st.text(max_size=20),
)
steps = st.lists(
    st.one_of(
        calls,
        st.floats(0, 200).map(lambda seconds: ("wait", seconds)),
        st.just(("sum up", 0.0)),
    ),
    max_size=200,
)


@given(steps, st.integers(2, 60))
def test_lines_are_bounded_by_their_kinds_and_counts_add_up_to_the_calls(made, max_kinds):
    at, called, written, per_minute = 0.0, 0, [], {}
    counted = Repeats(lambda: at)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "MAX_KINDS", max_kinds)
        for step in made:
            if step[0] == "wait":
                at += step[1]
                out = []
            elif step[0] == "sum up":
                out = counted.due()
            else:
                name, level, template, text = step
                arguments = (text,) if "%s" in template else ()
                called += 1
                kind = name, level, template
                out = counted.take(record(name, level, template, *arguments, station=text))
                per_minute.setdefault(kind, set()).add(at // 60)
            written += out
            assert len(counted._counts) <= max_kinds + 1
        written += counted.due(all_of_them=True)
    summaries = [r.repeated for r in written if hasattr(r, "repeated")]
    assert len(written) - len(summaries) + sum(summaries) == called
    # Of each kind a line in a minute that has any, and a summary of it.
    assert len(written) <= sum(2 * len(minutes) for minutes in per_minute.values())


@pytest.mark.parametrize("stations", [1, 12, 1500])
def test_a_minute_of_garbage_is_two_lines(stations):
    at = 0.0
    counted = Repeats(lambda: at)
    out = []
    for n in range(3000):
        at = n * 59.0 / 3000
        out += counted.take(record("stream.x", 30, "refused: %s", n, station=f"s{n % stations}"))
    at = 60.0
    out += counted.due()
    assert len(out) == 2
    many = {1: "1 station", 12: "12 stations", 1500: "1000+ stations"}[stations]
    assert out[-1].getMessage() == (
        f"refused: 2999 … and 2 999 more like it in the last minute ({many})"
    )
    at = 119.0
    assert counted.take(record("stream.x", 30, "refused: %s", 1)) == []
    assert counted.due() == []
    at = 120.0
    assert len(counted.due()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("style", ["text", "json"])
def test_the_last_count_is_written_at_the_end(style):
    def emit():
        for n in range(12_346):
            log.warning("no audio: %s", n, extra={"station": f"s{n % 12}"})
        logging.getLogger("urllib3").warning("of a library")

    first, library, last = lines(style, emit)
    text = "no audio: 12345 … and 12 345 more like it in the last minute (12 stations)"
    if style == "text":
        assert first.endswith("no audio: 0 station=s0")
        assert last.endswith(text)
    else:
        document = json.loads(last)
        assert document["message"] == text
        assert (document["repeated"], document["stations"]) == (12_345, 12)
        assert document["level"] == "warning"
    assert "of a library" in library


def test_what_is_counted_holds_on_to_nothing():
    import gc
    import weakref

    class Payload:
        pass

    counted, payload = Repeats(), Payload()
    gone = weakref.ref(payload)
    for _ in range(3):
        counted.take(record("stream.x", 30, "refused: %s", payload))
    del payload
    gc.collect()
    assert gone() is None


def test_lines_whose_text_is_their_template_cost_bounded_memory_too():
    counted = Repeats(lambda: 0.0)
    out = []
    for n in range(5000):
        out += counted.take(record("stream.x", 30, f"name {n} " + "x" * 10_000))
    assert len(out) == repeats.MAX_KINDS + 1
    assert sum(len(str(kind)) for kind in counted._counts) < 200_000
    out += counted.due(all_of_them=True)
    assert (
        f"{5000 - len(out) + 1:,}".replace(",", " ") + " more of other kinds"
        in out[-1].getMessage()
    )
