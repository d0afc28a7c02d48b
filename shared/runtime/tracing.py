"""The trace that goes from a request through every event to the last effect.

A trace is a W3C traceparent in a context variable, and in the outbox' rows; that is all as long as nobody collects
spans. When somebody does (`exporting_spans`), the traceparent is that of the span which is open.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol

Kind = Literal["server", "internal", "producer", "consumer"]
Attributes = Mapping[str, str | int]
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACE_ID, _SPAN_ID = slice(3, 35), slice(36, 52)
# Ids of traces are no secrets: they only must not meet.
_RANDOM = random.Random()  # noqa: S311 - no secret
_current: ContextVar[str | None] = ContextVar("traceparent", default=None)
_causes: ContextVar[Mapping[str, str] | None] = ContextVar("causes", default=None)
_service: ContextVar[str] = ContextVar("service", default="")


class Span(Protocol):
    """A span that is being recorded."""

    traceparent: str

    def end(self, *, attributes: Attributes | None = None, failed: bool = False, at_ns: int | None = None) -> None:
        """End it."""


class Recorder(Protocol):
    """What keeps spans for whoever collects them."""

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
        """Start a span."""


_recorder: Recorder | None = None


def record_spans(recorder: Recorder | None) -> None:
    """Record spans from now on, or no longer."""
    global _recorder  # noqa: PLW0603 - one a process, set at its start and its end
    _recorder = recorder


def is_recording() -> bool:
    """Return whether spans are recorded in this process."""
    return _recorder is not None


def new_traceparent(*, sampled: bool = True) -> str:
    """Return a new W3C trace context."""
    return f"00-{_RANDOM.getrandbits(128):032x}-{_RANDOM.getrandbits(64):016x}-{sampled:02d}"


def enter_trace(incoming: str | None) -> str:
    """Continue the incoming trace, or begin one, for the current task; return its traceparent."""
    traceparent = _known(incoming) or new_traceparent()
    _current.set(traceparent)
    return traceparent


def enter_request(incoming: str | None, *, service: str, attributes: Attributes) -> Span:
    """Continue the incoming trace, or begin one, with a span of the request; only while spans are recorded."""
    if _recorder is None:
        raise RuntimeError
    span = _recorder.start("request", service=service, kind="server", parent=_known(incoming), attributes=attributes)
    _current.set(span.traceparent)
    return span


def current_traceparent() -> str | None:
    """Return the trace of the current task, if it has one."""
    return _current.get()


def trace_id() -> str:
    """Return the trace id of the current task, or an empty string."""
    traceparent = _current.get()
    return traceparent[_TRACE_ID] if traceparent else ""


def span_id() -> str:
    """Return the id of the span that is being recorded in the current task, or an empty string."""
    traceparent = _current.get()
    return traceparent[_SPAN_ID] if _recorder is not None and traceparent and _is_sampled(traceparent) else ""


def traceparent_of(subject: str) -> str | None:
    """Return the trace for what is said of a subject now: that of the event it comes from, else the task's own."""
    causes = _causes.get()
    found = causes.get(subject) if causes is not None else None
    return found or _current.get()


@contextmanager
def together(
    name: str, traceparents: Sequence[str | None], *, service: str, kind: Kind, attributes: Attributes | None = None
) -> Iterator[None]:
    """Do one thing for many traces: within theirs if they share one, else in one of its own, linked to each."""
    parents = list(dict.fromkeys(each for each in traceparents if each))
    shared = len({each[_TRACE_ID] for each in parents}) == 1
    recorded = _recorder is not None and (not parents or any(map(_is_sampled, parents)))
    token = _service.set(service)
    try:
        if _recorder is None or not recorded:
            with within(parents[0] if shared else new_traceparent(sampled=_recorder is None)):
                yield
            return
        parent, links = (parents[0], parents[1:]) if shared else (None, parents)
        span = _recorder.start(name, service=service, kind=kind, parent=parent, links=links, attributes=attributes)
        with within(span.traceparent), _ending([span]):
            yield
    finally:
        _service.reset(token)


@contextmanager
def handling(name: str, causes: Sequence[tuple[str, str | None]]) -> Iterator[None]:
    """Let what a handler says belong to the traces of the events it was given, subject by subject.

    What it says of another subject belongs to the events' trace if they share one, else to that of the batch.
    """
    traces = {subject: traceparent for subject, traceparent in causes if traceparent}
    spans: list[Span] = []
    service, batch = _service.get(), _current.get()
    if _recorder is not None and service and batch:
        for subject, traceparent in traces.items():
            if _is_sampled(traceparent):
                is_ours = batch[_TRACE_ID] == traceparent[_TRACE_ID]
                parent, links = (batch, []) if is_ours else (traceparent, [batch])
                span = _recorder.start(name, service=service, kind="consumer", parent=parent, links=links)
                spans.append(span)
                traces[subject] = span.traceparent
    shared = len({each[_TRACE_ID] for each in traces.values()}) == 1
    token = _causes.set(traces)
    try:
        with within(next(iter(traces.values())) if shared else None), _ending(spans):
            yield
    finally:
        _causes.reset(token)


def record_published(
    name: str, traceparent: str | None, *, service: str, attributes: Attributes, began_ns: int, ended_ns: int
) -> None:
    """Record that an event was sent and acknowledged, within its own trace."""
    if _recorder is not None and traceparent and _is_sampled(traceparent):
        span = _recorder.start(
            name, service=service, kind="producer", parent=traceparent, attributes=attributes, at_ns=began_ns
        )
        span.end(at_ns=ended_ns)


@contextmanager
def within(traceparent: str | None) -> Iterator[None]:
    """Do something within a trace; None: as it is."""
    token = _current.set(traceparent or _current.get())
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def _ending(spans: Sequence[Span]) -> Iterator[None]:
    failed = True
    try:
        yield
        failed = False
    finally:
        for span in spans:
            span.end(failed=failed)


def _known(traceparent: str | None) -> str | None:
    return traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else None


def _is_sampled(traceparent: str) -> bool:
    return bool(int(traceparent[-2:], 16) & 1)
