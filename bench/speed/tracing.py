"""What tracing costs where it is on, in CPU of the worker.

Iterations of the loop as an observer sees them: a message of half a second of each of 100 stations,
the calls of all stages, and a decision of each station as a message of Kafka. Nothing is decoded or
judged, so the difference to the first row is what tracing adds. Spans are exported by OTLP over
HTTP to another process of this machine, which throws them away; the CPU of the export is included.
All rows are measured in turns.
"""

from __future__ import annotations

import multiprocessing
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from bench.report import Report, arguments
from stream.audio import AudioChunk
from stream.events import Decision
from stream.kafka.codec.event_message import EventFormat, no_trace
from stream.telemetry.metrics import STAGES
from stream.telemetry.observer import NullObserver
from stream.telemetry.settings import TracingSettings
from stream.telemetry.tracing import Tracing
from stream.trace_context import NO_TRACE, TraceContext

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from stream.telemetry.observer import Observer

RATE = 16_000
STATIONS = 100
ITERATIONS = 10  # between two exports: their spans fit the exporter's queue
ROUNDS = 30
PARTS = (*STAGES, "publish")


class Collector(BaseHTTPRequestHandler):
    """Throws away what it is sent."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


def collect(port: Connection) -> None:
    server = HTTPServer(("127.0.0.1", 0), Collector)
    port.send(server.server_address[1])
    server.serve_forever()


def messages(traced: int) -> list[AudioChunk]:
    """Return a message of each station, of which some have a trace that is recorded."""
    samples = np.zeros(RATE // 2, np.float32)
    trace = TraceContext(f"00-{'1' * 32}-{'2' * 16}-01", "desk=a")
    return [
        AudioChunk(f"station {n}", 0, samples, RATE, trace=trace if n < traced else NO_TRACE)
        for n in range(STATIONS)
    ]


def iterate(observer: Observer, form: EventFormat, items: list[AudioChunk]) -> None:
    """Do what an iteration of the loop does with its observer."""
    observer.on_step(items)
    for part in PARTS:
        observer.on_call(part, 1e-4)
    events = [Decision(each.station, 0, 5 * RATE, RATE, 1.7e9, 0.5, 0.5) for each in items]
    for event in events:
        form.encode(event)
    observer.on_batch(items, events)
    for part in ("flush", "settle"):
        observer.on_call(part, 1e-4)


def measure(report: Report, endpoint: str) -> None:
    settings = TracingSettings.default(enabled=True, endpoint=endpoint, sample_ratio=0.0)
    off, nothing = EventFormat(trace_of=no_trace), NullObserver()
    with closing(Tracing(settings, "airsift.audio", "airsift")) as traced:
        on = EventFormat(trace_of=traced.trace_of)
        cases = {"off": messages(0)} | {
            f"on, {count} of {STATIONS} messages are traced": messages(count)
            for count in (0, 1, STATIONS)
        }
        spent: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(ROUNDS):
            for name, items in cases.items():
                observer, form = (nothing, off) if name == "off" else (traced, on)
                began = time.process_time()
                for _ in range(ITERATIONS):
                    iterate(observer, form, items)
                traced.export()
                spent[name].append((time.process_time() - began) / ITERATIONS)
    before = median(spent["off"])
    for name, times in spent.items():
        us = 1e6 * median(times)
        report.row(name, iteration_us=us, added_per_station_us=(us - 1e6 * before) / STATIONS)


def main() -> None:
    options = arguments(__doc__).parse_args()
    report = Report(f"Tracing, microseconds of CPU for an iteration with {STATIONS} stations")
    ours, theirs = multiprocessing.Pipe()
    collector = multiprocessing.Process(target=collect, args=(theirs,), daemon=True)
    collector.start()
    try:
        measure(report, f"http://127.0.0.1:{ours.recv()}/v1/traces")
    finally:
        collector.terminate()
        collector.join()
    report.finish(options.json)


if __name__ == "__main__":
    main()
