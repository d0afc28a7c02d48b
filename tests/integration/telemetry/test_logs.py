"""Every line that is logged for a request or an event says which trace it belongs to (R19)."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI

from shared.events.envelope import Received
from shared.runtime.spans import exporting_spans
from shared.runtime.tracing import enter_trace, new_traceparent
from shared.storage.database import Transaction
from shared.web.problems import install_problems
from shared.web.serving import Edge
from tests.integration.telemetry.collector import collecting
from tests.support.messaging import Line, line, running, until

_ours, _library = structlog.get_logger(), logging.getLogger("some.library")


@pytest.fixture
async def wire(empty_database: str, kafka_bootstrap: str, unique_name: str) -> AsyncIterator[Line]:
    async with line(url=empty_database, bootstrap=kafka_bootstrap, name=unique_name) as made:
        yield made


def _lines(said: str) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in said.splitlines()]
    return {line["event"]: line for line in lines}


def _failing_app() -> Edge:
    app = FastAPI()

    @app.get("/divide")
    async def divide() -> float:
        _ours.error("ours", token="sesame")
        _library.error("a library's, %s", "formatted")
        return 1 / 0

    install_problems(app, statuses={})
    return Edge(app, service="test")


async def test_lines_of_a_request_carry_its_trace_ours_and_the_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    traceparent = new_traceparent()
    transport = httpx.ASGITransport(_failing_app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        answer = await http.get("/divide", headers={"traceparent": traceparent})
    lines = _lines(capsys.readouterr().err)
    assert set(lines) == {"ours", "a library's, formatted", "request failed"}
    assert {line["trace_id"] for line in lines.values()} == {traceparent.split("-")[1], answer.json()["trace_id"]}
    assert not any("span_id" in line for line in lines.values())
    assert lines["ours"]["token"] == "***"
    assert lines["a library's, formatted"]["logger"] == "some.library"
    assert lines["request failed"]["exception"][0]["exc_type"] == "ZeroDivisionError"


async def test_with_a_collector_they_carry_the_span_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = httpx.ASGITransport(_failing_app(), raise_app_exceptions=False)
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        with exporting_spans():
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                await http.get("/divide")
    lines = _lines(capsys.readouterr().err)
    (span,) = collector.spans
    assert {(line["trace_id"], line["span_id"]) for line in lines.values()} == {(span.trace_id, span.span_id)}
    assert (span.name, span.failed) == ("GET /divide", True)


async def test_lines_of_a_handler_carry_the_trace_of_the_event_that_it_handles(
    wire: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    async def complain(_: Transaction, events: Sequence[Received]) -> None:
        for event in events:
            _ours.error(f"handling {event.subject}")
        raise ZeroDivisionError

    traces = {}
    for subject in ("a", "b"):
        traces[subject] = enter_trace(None).split("-")[1]
        await wire.publish([wire.happened(thing_id=subject)])

    async def both_are_parked() -> bool:
        return len(await wire.parked()) == 2

    async with running(wire.relay().run, wire.inbox({wire.happened: complain}).run):
        await until(both_are_parked)
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    for subject, trace_id in traces.items():
        # The last of them handles it alone; before, it may have been one of two.
        assert [line["trace_id"] for line in said if line["event"] == f"handling {subject}"][-1] == trace_id
    assert sorted(line["trace_id"] for line in said if line["event"] == "event parked") == sorted(traces.values())
    assert all("trace_id" in line for line in said)
