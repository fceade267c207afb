"""OpenTelemetry: a few messages and requests, followed. Imported where settings ask for it only (fleet.runtime.follow).

Spans wait in a bounded queue for a thread that sends them to the collector. One that is away costs spans, and is counted;
nothing waits for it.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from fleet.settings import TracingSettings

_QUEUE_SPANS: Final = 2_048  # what comes while the queue is full is not told
_BATCH_SPANS: Final = 256
_PERIOD_MS: Final = 1_000.0
_PATIENCE_S: Final = 5.0  # with a collector that hangs

_w3c = TraceContextTextMapPropagator()


class Tracing:
    """Of one process. chooses: it decides itself what is followed, before it makes a span, and sample_ratio is for it."""

    def __init__(self, settings: TracingSettings, service: str, instance: str, *, chooses: bool = False) -> None:
        logging.getLogger("opentelemetry").setLevel(
            logging.CRITICAL
        )  # a line for each batch that is not taken: counted here
        self.sample_ratio = settings.sample_ratio
        self._exporter = _Counted(OTLPSpanExporter(settings.endpoint, timeout=_PATIENCE_S))
        self._provider = TracerProvider(
            sampler=ParentBased(ALWAYS_ON if chooses else TraceIdRatioBased(settings.sample_ratio)),
            resource=Resource.create({"service.name": f"solarperform-{service}", "service.instance.id": instance}),
            shutdown_on_exit=False,  # it would hold the process up for as long as the collector is away
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._exporter,
                max_queue_size=_QUEUE_SPANS,
                max_export_batch_size=_BATCH_SPANS,
                schedule_delay_millis=_PERIOD_MS,
            )
        )
        self.tracer = self._provider.get_tracer("solarperform")

    @property
    def failures(self) -> int:
        """Batches of spans that the collector did not take."""
        return self._exporter.failures

    @contextmanager
    def request(self, method: str, request_id: str) -> Iterator[Span]:
        """Around one HTTP request. It begins a trace: one that goes on from a stranger's would be as he chooses."""
        attributes = {"http.request.method": method, "solarperform.request_id": request_id}
        with self.tracer.start_as_current_span(
            method, Context(), SpanKind.SERVER, attributes, record_exception=False
        ) as span:
            yield span

    @contextmanager
    def asking(self, question: str) -> Iterator[str | None]:
        """Around an ask of another process. What is to be sent along with it; None where nobody follows."""
        if not trace.get_current_span().get_span_context().trace_flags.sampled:
            yield None
            return
        with self.tracer.start_as_current_span(f"ask {question}", kind=SpanKind.CLIENT, record_exception=False):
            carrier: dict[str, str] = {}
            _w3c.inject(carrier)
            yield carrier.get("traceparent")

    @contextmanager
    def answering(self, question: str, traceparent: str) -> Iterator[None]:
        """Around the answer in that other process."""
        context = _w3c.extract({"traceparent": traceparent}, Context())
        with self.tracer.start_as_current_span(f"answer {question}", context, SpanKind.SERVER, record_exception=False):
            yield


class _Counted(SpanExporter):
    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self.failures = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._inner.export(spans)
        except Exception:  # noqa: BLE001 - whatever a collector or the way to it does: these spans are lost, and counted
            result = SpanExportResult.FAILURE
        if result is not SpanExportResult.SUCCESS:
            self.failures += 1
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)
