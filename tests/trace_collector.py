"""A collector of OpenTelemetry traces: takes OTLP over HTTP and keeps the spans, for tests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleet.settings import TracingSettings


@dataclass(frozen=True)
class Told:
    """One span. Times are Unix nanoseconds; links: span ids."""

    name: str
    trace: bytes
    id: bytes
    parent: bytes
    began_ns: int
    ended_ns: int
    attributes: dict[str, str | int]
    links: list[bytes]
    service: str


@dataclass
class Collector:
    port: int
    spans: list[Told] = field(default_factory=list)

    def settings(self, sample_ratio: float = 1.0) -> TracingSettings:
        return TracingSettings(f"http://127.0.0.1:{self.port}/v1/traces", sample_ratio)

    def trace_of(self, name: str) -> list[Told]:
        """All spans of the first trace that has one of this name, by when they ended."""
        found = next((span for span in self.spans if span.name == name), None)
        theirs = [] if found is None else [span for span in self.spans if span.trace == found.trace]
        return sorted(theirs, key=lambda span: span.ended_ns)


@contextmanager
def collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.spans.extend(_spans(ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Collector(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()


def _spans(request: ExportTraceServiceRequest) -> Iterator[Told]:
    for resource in request.resource_spans:
        service = next(each.value.string_value for each in resource.resource.attributes if each.key == "service.name")
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            attributes: dict[str, str | int] = {
                each.key: each.value.string_value or each.value.int_value for each in span.attributes
            }
            yield Told(
                name=span.name,
                trace=span.trace_id,
                id=span.span_id,
                parent=span.parent_span_id,
                began_ns=span.start_time_unix_nano,
                ended_ns=span.end_time_unix_nano,
                attributes=attributes,
                links=[link.span_id for link in span.links],
                service=service,
            )
