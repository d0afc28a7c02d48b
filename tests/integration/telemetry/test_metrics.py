"""What the metrics say is what is so; and what is read for them from the database costs little (R19)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from shared.events.envelope import Received
from shared.events.topics import partition_of
from shared.messaging import backlog, inbox
from shared.messaging.applying import NotYet
from shared.messaging.backlog import show_backlog
from shared.runtime.jobs import Jobs, Unrecoverable
from shared.runtime.metrics import exposition
from shared.storage.database import Database, Transaction
from shared.storage.group_commit import GroupCommit
from shared.web.serving import Edge
from tests.support.messaging import Line, line, record_effects, running, until
from tributary.front import front


@pytest.fixture
async def wire(empty_database: str, kafka_bootstrap: str, unique_name: str) -> AsyncIterator[Line]:
    async with line(url=empty_database, bootstrap=kafka_bootstrap, name=unique_name) as made:
        yield made


def _series(name: str, **labels: str) -> dict[tuple[str, ...], float]:
    """Return the values of a metric's series with these labels, by their other labels in the order of their names."""
    found = {}
    for family in text_string_to_metric_families(exposition().decode()):
        for sample in family.samples:
            if sample.name == f"tributary_{name}" and labels.items() <= sample.labels.items():
                rest = sorted(sample.labels.items() - labels.items())
                found[tuple(value for _, value in rest)] = sample.value
    return found


def _value(name: str, **labels: str) -> float:
    found = _series(name, **labels)
    assert set(found) == {()}, (name, found)
    return found[()]


async def test_the_outbox_shows_what_waits_how_long_and_that_nobody_sends_it(wire: Line) -> None:
    await wire.publish([wire.happened(thing_id=f"t{n}", n=n) for n in range(7)])
    await asyncio.sleep(0.2)
    await show_backlog(wire.database, service=wire.name)
    assert _value("outbox_pending_records", service=wire.name) == 7
    assert 0.2 <= _value("outbox_oldest_unsent_seconds", service=wire.name) < 60
    assert _value("relay_unowned_shards", service=wire.name) == 3

    async def all_are_sent() -> bool:
        await show_backlog(wire.database, service=wire.name)
        return _value("outbox_pending_records", service=wire.name) == 0

    async with running(wire.relay().run):
        await until(all_are_sent)
        assert _value("outbox_oldest_unsent_seconds", service=wire.name) == 0
        assert _value("relay_unowned_shards", service=wire.name) == 0
        assert _value("relay_held_shards", service=wire.name) == 3
    assert _value("relay_held_shards", service=wire.name) == 0
    assert _value("relay_sent_records_total", service=wire.name) == 7
    assert _value("relay_acked_records_total", service=wire.name) == 7
    assert _value("relay_unmarked_records_total", service=wire.name) == 0
    assert _value("relay_batch_records_sum", service=wire.name) == 7


async def test_a_take_over_is_counted_as_a_lease_lost_and_as_read_backs(wire: Line) -> None:
    await wire.publish([wire.happened(thing_id=f"t{n}") for n in range(30)])

    async def both_have_some() -> bool:
        async with wire.database.reader() as tx:
            rows = await tx.pg.fetch("SELECT owner FROM lease WHERE name LIKE 'scf.%' AND expires_at > now()")
        return {row["owner"] for row in rows} == {first.owner, second.owner}

    async def all_are_sent() -> bool:
        return _series("relay_acked_records_total", service=wire.name) == {(): 30}

    first, second = wire.relay(), wire.relay()
    async with running(first.run):
        await until(all_are_sent)
        async with running(second.run):
            await until(both_have_some)
    assert _value("relay_leases_lost_total", service=wire.name) >= 1
    assert _value("relay_read_backs_total", service=wire.name) >= 1


async def test_the_inbox_shows_what_became_of_each_event_and_what_is_parked_why(wire: Line) -> None:
    async def picky(tx: Transaction, events: Sequence[Received]) -> None:
        for event in events:
            if event.subject == "bad":
                raise ZeroDivisionError
            if event.subject == "early":
                raise NotYet(topic=wire.happened.topic, subject="never")
        await record_effects(tx, events)

    said = [wire.happened(thing_id=subject, n=n) for n in range(2) for subject in ("good", "bad", "early")]
    await wire.publish(said)

    async def all_are_decided() -> bool:
        return len(await wire.effects()) == 2 and len(await wire.parked()) == 4

    async with running(wire.relay().run, wire.inbox({wire.happened: picky}).run):
        await until(all_are_decided)
        await show_backlog(wire.database, service=wire.name)
    assert _value("inbox_applied_events_total", service=wire.name) == 2
    assert _value("inbox_handler_failures_total", service=wire.name) == 1
    assert _value("inbox_batch_records_sum", service=wire.name) == 6
    assert _value("inbox_event_age_seconds_count", service=wire.name) >= 1
    assert _value("inbox_batch_duration_seconds_count", service=wire.name) >= 1
    parked = {reason: keys for (reason,), keys in _series("inbox_parked_keys", service=wire.name).items() if keys}
    assert {"failed": 1, "waits": 1}.items() <= parked.items()
    assert _value("inbox_oldest_parked_seconds", service=wire.name) > 0
    assert _value("backlog_timestamp_seconds", service=wire.name) > 0


async def test_lag_is_shown_for_the_partitions_that_a_process_has_while_it_has_them(
    wire: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "_BATCH", 1)
    monkeypatch.setattr(inbox, "_SWEEP_S", 0)
    topic, seen = wire.happened.topic, set()

    async def slowly(tx: Transaction, events: Sequence[Received]) -> None:
        seen.add(_series("inbox_lag_records", group=f"scf.{wire.name}").get((busy, topic)))
        await record_effects(tx, events)

    busy = str(partition_of(topic=topic, subject="a"))
    await wire.publish([wire.happened(thing_id="a", n=n) for n in range(5)])

    async def none_is_left() -> bool:
        lag = _series("inbox_lag_records", group=f"scf.{wire.name}")
        return len(await wire.effects()) == 5 and lag == {(str(n), topic): 0 for n in range(3)}

    async def all_are_sent() -> bool:
        async with wire.database.reader() as tx:
            return not await tx.pg.fetchval("SELECT count(*) FROM outbox_pending")

    async with running(wire.relay().run):
        await until(all_are_sent)
        async with running(wire.inbox({wire.happened: slowly}).run):
            await until(none_is_left)
    assert {4, 3, 2, 1} <= seen
    assert _series("inbox_lag_records", group=f"scf.{wire.name}") == {}


async def test_jobs_show_that_they_run_that_they_are_restarted_and_that_they_are_down(unique_name: str) -> None:
    stop, attempts = asyncio.Event(), 0

    async def flaky() -> None:
        nonlocal attempts
        attempts += 1
        raise ConnectionError

    async def hopeless() -> None:
        raise Unrecoverable

    async def well() -> None:
        await stop.wait()

    jobs = {f"{unique_name}/flaky": flaky, f"{unique_name}/hopeless": hopeless, f"{unique_name}/well": well}
    working = asyncio.create_task(Jobs().supervise(jobs, stop=stop))

    async def twice() -> bool:
        return attempts >= 2

    await until(twice)
    assert _series("job_down", service=unique_name) == {("flaky",): 0, ("hopeless",): 1, ("well",): 0}
    assert _series("job_restarting", service=unique_name) == {("flaky",): 1, ("hopeless",): 0, ("well",): 0}
    assert _value("job_restarts_total", service=unique_name, task="flaky") >= 2
    assert _value("job_restarts_total", service=unique_name, task="well") == 0
    stop.set()
    await working
    assert _series("job_down", service=unique_name) == {}


async def test_commands_show_their_batches_and_how_long_they_took(unique_name: str) -> None:
    async def commit(batch: list[int]) -> list[int]:
        await asyncio.sleep(0.02)
        return batch

    group = GroupCommit(commit, service=unique_name, command="hold")
    await asyncio.gather(*(group.submit(n, root="r") for n in range(40)))
    assert _value("command_batch_commands_sum", service=unique_name, command="hold") == 40
    assert _value("command_duration_seconds_count", service=unique_name, command="hold") == 40
    buckets = _series("command_duration_seconds_bucket", service=unique_name, command="hold")
    assert (buckets["0.01",], buckets["+Inf",]) == (0, 40)


async def test_requests_are_counted_by_the_routes_template_never_by_what_was_asked_for(unique_name: str) -> None:
    app = FastAPI()

    @app.get("/things/{thing_id}")
    async def read(thing_id: int) -> int:
        return thing_id

    edge = Edge(app, service=unique_name)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://test") as http:
        for path in ("/things/1", "/things/2", "/things/x", "/nowhere", "/nowhere/else"):
            await http.get(path)
        await http.request("FROBNICATE", "/things/1")
    assert _series("http_request_duration_seconds_count", service=unique_name) == {
        ("GET", "/things/{thing_id}", "200"): 2,
        ("GET", "/things/{thing_id}", "422"): 1,
        ("GET", "unmatched", "404"): 2,
        ("OTHER", "unmatched", "405"): 1,
    }


async def test_metrics_are_read_without_a_token_in_the_text_format() -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(front({})), base_url="http://test") as prometheus:
        answer = await prometheus.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"tributary_build_info", "process_resident_memory_bytes"} <= names


_FILL = (
    """INSERT INTO outbox (id, topic, subject, sequence, type, source, body)
    SELECT n::text, 'scf.x.y.v1', n::text, 1, 't', 's', '{}' FROM generate_series(1, 50000) AS n""",
    "INSERT INTO outbox_pending SELECT 'scf.x.y.v1-' || position % 6, position FROM outbox",
    """INSERT INTO inbox_parked (topic, subject, sequence, event_id, type, headers, body, reason)
    SELECT 't', n::text, 1, n::text, 't', '[]', 'x', 'gap' FROM generate_series(1, 50000) AS n""",
    "INSERT INTO lease SELECT 'l' || n, 'o', 1, now() FROM generate_series(1, 5000) AS n",
)


@pytest.mark.parametrize(
    ("statement", "arguments", "most_rows"),
    [
        (backlog.PENDING, [1000], 1000),
        (backlog.OLDEST, [[f"scf.x.y.v1-{n}" for n in range(6)]], 6),
        (backlog.UNOWNED, [[f"scf.x.y.v1-{n}" for n in range(6)]], 6),
        (backlog.PARKED, [1000], 1000),
    ],
)
async def test_no_figure_from_the_database_reads_more_than_its_index_and_its_bound(
    wire: Line, statement: str, arguments: list[Any], most_rows: int
) -> None:
    database = Database(wire.database.url, pool_size=1)
    async with database.transaction() as tx:
        for fill in _FILL:
            await tx.pg.execute(fill)
        await tx.pg.execute("ANALYZE")
        (plan,) = await tx.pg.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *arguments)
    await database.close()
    scans = list(_scans(plan["Plan"]))
    tables = [scan for scan in scans if "Relation Name" in scan]
    assert tables
    for scan in tables:
        assert "Index" in scan["Node Type"], scan
        assert scan["Actual Rows"] * scan["Actual Loops"] <= most_rows, scan


def _scans(plan: dict[str, Any]) -> Any:
    yield plan
    for inner in plan.get("Plans", []):
        yield from _scans(inner)
