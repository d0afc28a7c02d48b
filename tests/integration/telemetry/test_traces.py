"""One trace from the request through Kafka to the last effect, seen by a collector as any bank runs one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.events.envelope import EVENT_TYPES, Received
from shared.events.topics import TOPICS, partition_of
from shared.messaging.outbox import append
from shared.runtime.settings import Settings
from shared.runtime.spans import exporting_spans
from shared.runtime.tracing import enter_trace, new_traceparent
from shared.storage.database import Database, Transaction
from shared.storage.group_commit import GroupCommit
from shared.web.issuer import Issuer
from tests.integration.onboarding.test_onboarding import FIRM, TERMS
from tests.integration.telemetry.collector import Collector, collecting
from tests.support.messaging import Line, event_type, line, running, until
from tributary.platform import Platform, running_platform


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield found


@pytest.fixture
async def wire(empty_database: str, kafka_bootstrap: str, unique_name: str) -> AsyncIterator[Line]:
    async with line(url=empty_database, bootstrap=kafka_bootstrap, name=unique_name) as made:
        yield made


@pytest.fixture
def answered(unique_name: str) -> Iterator[Any]:
    made = event_type(f"{unique_name}-answer")
    yield made
    del TOPICS[made.topic], EVENT_TYPES[made.type]


async def _traces(database: Database, topic: str) -> dict[str, str]:
    async with database.reader() as tx:
        rows = await tx.pg.fetch("SELECT subject, traceparent FROM outbox WHERE topic = $1", topic)
    return {row["subject"]: row["traceparent"] for row in rows}


def _parts(traceparent: str) -> tuple[str, str]:
    _, trace_id, span_id, _ = traceparent.split("-")
    return trace_id, span_id


def _token(platform: Platform, subject: str, role: str) -> dict[str, str]:
    issuer = Issuer(home=platform.settings.home, issuer="tributary", audience="tributary")
    return {"authorization": f"Bearer {issuer.issue(subject=subject, roles=[role], party=None, client_id=subject)}"}


async def _activate_programme(platform: Platform) -> str:
    """Let one person propose a programme and another approve it; return the trace of the approval."""
    incoming = new_traceparent()
    maker, checker = _token(platform, "maker", "bank_maker"), _token(platform, "checker", "bank_checker")
    async with httpx.AsyncClient(base_url=f"{platform.origin}/onboarding/v1", timeout=60) as http:
        firm = (await http.post("/enterprises", json=FIRM, headers=maker)).json()
        body = {"name": "P", "anchor_id": firm["enterprise_id"], "terms": TERMS}
        proposed = (await http.post("/programmes", json=body, headers=maker)).json()
        path = f"/approvals/{proposed['approval_id']}/approve"
        approved = await http.post(path, headers={**checker, "traceparent": incoming})
        assert approved.status_code == 200, approved.text
        trace_id, span_id = _parts(approved.headers["traceparent"])
    assert trace_id == _parts(incoming)[0]
    assert span_id != _parts(incoming)[1]
    return incoming


async def test_r19_one_trace_goes_from_the_request_through_kafka_to_the_last_effect(
    collector: Collector, tmp_path: Path
) -> None:
    async with running_platform(Settings.model_construct(home=tmp_path, port=0), durable=False) as platform:
        incoming = await _activate_programme(platform)
        trace_id, caller = _parts(incoming)

        async def last_effect_came() -> bool:
            return any(span.name == "process limit.propagated.v1" for span in collector.of(trace_id))

        await until(last_effect_came, within_s=60)
    request = collector.one(trace_id, "POST /approvals/{approval_id}/approve", service="onboarding")
    assert (request.kind, request.parent_id) == ("server", caller)
    assert request.attributes["http.response.status_code"] == 200
    published = collector.one(trace_id, "publish programme.activated.v1", service="onboarding")
    assert (published.kind, published.parent_id) == ("producer", request.span_id)
    assert published.attributes["messaging.destination.name"] == "scf.onboarding.programme.v1"
    handled = collector.one(trace_id, "process programme.activated.v1", service="credit")
    followed = collector.one(trace_id, "publish limit.propagated.v1", service="credit")
    assert (handled.kind, followed.parent_id) == ("consumer", handled.span_id)
    seen = collector.one(trace_id, "process limit.propagated.v1", service="console")
    by_id = {span.span_id: span for span in collector.of(trace_id)}

    def ancestors(span_id: str) -> list[str]:
        span = by_id.get(span_id)
        return [span.name, *ancestors(span.parent_id)] if span else []

    # A batch of the inbox is between them only if it had nothing of other traces.
    assert [name for name in ancestors(seen.span_id) if name != "consume"] == [
        "process limit.propagated.v1",
        "process programme.activated.v1",
        "POST /approvals/{approval_id}/approve",
    ]
    assert not any(span.failed for span in by_id.values())


async def test_each_event_of_a_batch_passes_its_own_trace_on_and_what_belongs_to_all_is_linked_to_each(
    collector: Collector, wire: Line, answered: Any
) -> None:
    async def answer(tx: Transaction, events: Sequence[Received]) -> None:
        said = [answered(thing_id=event.subject) for event in events]
        await append(tx, [*said, answered(thing_id="all")], source="test")

    async def all_are_sent() -> bool:
        async with wire.database.reader() as tx:
            return bool(await tx.pg.fetchval("SELECT NOT EXISTS (SELECT FROM outbox_pending)"))

    async def answers_are_there() -> bool:
        return len(await _traces(wire.database, answered.topic)) == 4

    # On one partition, and there before the inbox is: they come in one batch.
    topic = wire.happened.topic
    subjects = [f"t{n}" for n in range(50) if partition_of(topic=topic, subject=f"t{n}") == 0][:3]
    with exporting_spans():
        for subject in subjects:
            enter_trace(None)
            await wire.publish([wire.happened(thing_id=subject)])
        async with running(wire.relay().run):
            await until(all_are_sent)
        async with running(wire.inbox({wire.happened: answer}).run):
            await until(answers_are_there)
    causes = await _traces(wire.database, wire.happened.topic)
    answers = await _traces(wire.database, answered.topic)
    assert len({_parts(each)[0] for each in causes.values()}) == 3
    for subject, cause in causes.items():
        trace_id, span_id = _parts(answers[subject])
        handled = collector.one(trace_id, f"process {wire.happened.type}", service=wire.name)
        assert (handled.parent_id, handled.span_id) == (_parts(cause)[1], span_id)
        assert handled.links == {_parts(answers["all"])}
    batch = collector.one(_parts(answers["all"])[0], "consume", service=wire.name)
    assert (batch.span_id, batch.parent_id) == (_parts(answers["all"])[1], "")
    assert batch.links == {_parts(cause) for cause in causes.values()}
    assert batch.attributes["messaging.batch.message_count"] == 3


async def test_without_a_collector_the_trace_goes_on_unchanged(wire: Line, answered: Any) -> None:
    async def answer(tx: Transaction, events: Sequence[Received]) -> None:
        await append(tx, [answered(thing_id=event.subject) for event in events], source="test")

    for n in range(3):
        enter_trace(None)
        await wire.publish([wire.happened(thing_id=f"t{n}")])
    async with running(wire.relay().run, wire.inbox({wire.happened: answer}).run):

        async def answers_are_there() -> bool:
            return len(await _traces(wire.database, answered.topic)) == 3

        await until(answers_are_there)
    assert await _traces(wire.database, answered.topic) == await _traces(wire.database, wire.happened.topic)


async def test_what_a_timer_says_continues_the_trace_of_what_was_said_of_the_aggregate_last(wire: Line) -> None:
    async def request() -> None:
        enter_trace(None)
        await wire.publish([wire.happened(thing_id="a")])

    async def timer() -> None:
        await wire.publish([wire.happened(thing_id=subject, n=n) for n in (1, 2) for subject in ("a", "b")])

    await asyncio.create_task(request())
    await asyncio.create_task(timer())
    async with wire.database.reader() as tx:
        rows = await tx.pg.fetch("SELECT subject, traceparent FROM outbox ORDER BY subject, sequence")
    said = {subject: [row["traceparent"] for row in rows if row["subject"] == subject] for subject in ("a", "b")}
    assert said["a"][0] is not None
    assert said == {"a": [said["a"][0]] * 3, "b": [None, None]}


async def test_commands_that_share_a_transaction_are_linked_to_it(collector: Collector) -> None:
    traces: list[str] = []

    async def commit(batch: list[int]) -> list[int]:
        return batch

    group = GroupCommit(commit, service="credit", command="hold_things")

    async def request(n: int) -> None:
        traces.append(enter_trace(None))
        await group.submit(n, root="r")

    with exporting_spans():
        await asyncio.gather(*(request(n) for n in range(5)))
    batches = [span for span in collector.spans if span.name == "hold_things"]
    assert [span.attributes["tributary.batch.commands"] for span in batches] == [5]
    assert batches[0].links == {_parts(each) for each in traces}


async def test_a_trace_that_its_caller_does_not_sample_costs_no_span(collector: Collector, wire: Line) -> None:
    unsampled = new_traceparent(sampled=False)
    with exporting_spans():
        enter_trace(unsampled)
        await wire.publish([wire.happened(thing_id="a")])
        async with running(wire.relay().run, wire.inbox().run):

            async def effect_is_there() -> bool:
                return len(await wire.effects()) == 1

            await until(effect_is_there)
    assert await _traces(wire.database, wire.happened.topic) == {"a": unsampled}
    assert collector.spans == []


def test_without_a_collector_nothing_of_the_opentelemetry_sdk_is_loaded() -> None:
    program = """
import sys
from shared.runtime.spans import exporting_spans
from tributary.services import builds, works
builds(), works()
with exporting_spans():
    sys.exit(any(name.startswith(("opentelemetry.sdk", "opentelemetry.exporter")) for name in sys.modules))
"""
    root = Path(__file__).resolve().parents[3]
    environment = {"PATH": "", "PYTHONPATH": str(root)}
    assert subprocess.run([sys.executable, "-c", program], env=environment, cwd=root, check=False).returncode == 0


def test_a_collector_that_is_away_does_not_keep_the_process_from_ending() -> None:
    program = """
from shared.runtime.spans import exporting_spans
from shared.runtime.tracing import together
with exporting_spans(), together("t", [], service="s", kind="internal"):
    pass
"""
    root = Path(__file__).resolve().parents[3]
    environment = {"PATH": "", "PYTHONPATH": str(root), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    subprocess.run([sys.executable, "-c", program], env=environment, cwd=root, check=True, timeout=60)
