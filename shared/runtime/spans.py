"""Spans, recorded by the OpenTelemetry SDK and sent by OTLP over HTTP; nothing of it is loaded unless asked for."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from shared.runtime.tracing import Attributes, Kind, Span, record_spans

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span as Recorded
    from opentelemetry.trace import SpanContext, Tracer

_ASKED_BY = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
# A batch of the inbox is linked to each of its records.
_MOST_LINKS = 1000
_FLUSH_S = 1.0


@contextmanager
def exporting_spans() -> Iterator[None]:
    """Record spans and send them to the OTLP endpoint that the environment names, if it names one, for this block."""
    if not any(os.environ.get(name) for name in _ASKED_BY):
        yield
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    processor = BatchSpanProcessor(OTLPSpanExporter())
    record_spans(OpenTelemetry(processor))
    try:
        yield
    finally:
        record_spans(None)
        # A collector that is away must not keep the process from ending.
        last = threading.Thread(target=processor.shutdown, daemon=True, name="last-spans")
        last.start()
        last.join(_FLUSH_S)


class OpenTelemetry:
    """Records spans, each as its service's even where one process runs them all."""

    def __init__(self, processor: SpanProcessor) -> None:
        """Give every span that ends to the processor."""
        self._processor = processor
        self._tracers: dict[str, Tracer] = {}

    def start(
        self,
        name: str,
        *,
        service: str,
        kind: Kind,
        parent: str | None = None,
        links: Sequence[str] = (),
        attributes: Attributes | None = None,
        at_ns: int | None = None,
    ) -> Span:
        """Start a span; whether it is kept is the sampler's and the parent's decision."""
        from opentelemetry.trace import Link, SpanKind

        tracer = self._tracers.get(service) or self._tracer(service)
        span = tracer.start_span(
            name,
            context=_context(parent),
            kind=SpanKind[kind.upper()],
            links=[Link(_span_context(each)) for each in links],
            attributes=attributes,
            start_time=at_ns,
        )
        return _Span(span)

    def _tracer(self, service: str) -> Tracer:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanLimits, TracerProvider

        provider = TracerProvider(
            resource=Resource.create({"service.name": f"tributary-{service}", "service.namespace": "tributary"}),
            span_limits=SpanLimits(max_links=_MOST_LINKS),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._processor)
        return self._tracers.setdefault(service, provider.get_tracer("tributary"))


class _Span:
    def __init__(self, span: Recorded) -> None:
        found = span.get_span_context()
        self.traceparent = f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"
        self._span = span

    def end(self, *, attributes: Attributes | None = None, failed: bool = False, at_ns: int | None = None) -> None:
        from opentelemetry.trace import StatusCode

        if attributes:
            self._span.set_attributes(attributes)
            name = attributes.get("http.route")
            if name:
                self._span.update_name(f"{attributes['http.request.method']} {name}")
        if failed:
            self._span.set_status(StatusCode.ERROR)
        self._span.end(at_ns)


def _context(parent: str | None) -> Context:
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, set_span_in_context

    # An empty one, never the SDK's current: ours is the only current trace.
    return set_span_in_context(NonRecordingSpan(_span_context(parent)), Context()) if parent else Context()


def _span_context(traceparent: str) -> SpanContext:
    from opentelemetry.trace import SpanContext, TraceFlags

    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
