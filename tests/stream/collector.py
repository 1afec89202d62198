"""A collector of OpenTelemetry: receives OTLP over HTTP on loopback, and keeps the spans."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Spans(list[Any]):
    """Spans as they were received, in order of arrival."""

    endpoint: str

    def named(self, name: str) -> list[Any]:
        return [span for span in self if span.name == name]


@contextmanager
def collecting() -> Iterator[Spans]:
    """Give the spans that are sent to `Spans.endpoint` while the block runs."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    spans = Spans()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            request = ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    spans.extend(scope.spans)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        spans.endpoint = f"http://127.0.0.1:{server.server_port}/v1/traces"
        yield spans
        server.shutdown()
        thread.join()


def attributes(span: Any) -> dict[str, str | int]:
    """Return a span's attributes."""
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}
