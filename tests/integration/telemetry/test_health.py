"""Health that means something: what an orchestrator may send requests to, and what it must leave alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.risk.main import build
from shared.events.envelope import Received
from shared.messaging.kafka import Kafka, ensure_topics
from shared.runtime.jobs import Jobs
from shared.storage.database import Database, Transaction, migrate
from shared.web.health import worker_ready
from tests.support.messaging import Line, line, until
from tests.support.service import settings_for
from tributary import one
from tributary.embedded.processes import free_ports
from tributary.embedded.servers import EmbeddedServers

_AWAY = "127.0.0.1:1"


@asynccontextmanager
async def _worker(*, url: str, home: Path, bootstrap: str) -> AsyncIterator[httpx.AsyncClient]:
    """Run `tributary work risk`; yield a client of its health."""
    (port,) = free_ports(1)
    settings = settings_for(url=url, home=home, bootstrap_servers=bootstrap).model_copy(
        update={"host": "127.0.0.1", "port": port}
    )
    working = asyncio.create_task(one.work(settings, service="risk"))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/risk/v1/health", timeout=60) as http:

        async def is_alive() -> bool:
            with suppress(httpx.TransportError):
                return (await http.get("/live")).status_code == 200
            return False

        await until(is_alive)
        yield http
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working


@asynccontextmanager
async def _api(*, url: str, home: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = build(settings_for(url=url, home=home))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test/risk/v1/health") as http:
        yield http
    await app.aclose()


async def _problems(http: httpx.AsyncClient) -> dict[str, Any]:
    answer = await http.get("/ready")
    assert (answer.status_code == 200) == (answer.json()["status"] == "ready") == (answer.json()["problems"] == {})
    return dict(answer.json()["problems"])


async def test_an_api_is_unready_while_its_database_is_stopped_and_alive_all_the_time(tmp_path: Path) -> None:
    async with EmbeddedServers(tmp_path, durable=False, with_kafka=False) as servers:
        await migrate(url=servers.database_url, package="services.risk")
        async with _api(url=servers.database_url, home=tmp_path) as http:
            assert await _problems(http) == {}
            await asyncio.to_thread(servers.postgres.stop)
            assert set(await _problems(http)) == {"database"}
            assert (await http.get("/live")).status_code == 200
            await servers.postgres.start()

            async def is_ready_again() -> bool:
                return await _problems(http) == {}

            await until(is_ready_again)


async def test_an_api_is_unready_until_its_tables_are_there_and_stays_ready_when_they_are_newer_than_it(
    empty_database: str, tmp_path: Path
) -> None:
    database = Database(empty_database, pool_size=1)
    async with _api(url=empty_database, home=tmp_path) as http:
        assert "tributary migrate" in (await _problems(http))["database"]
        await migrate(url=empty_database, package="services.risk")
        assert await _problems(http) == {}
        for revision, is_ready in (("a newer release's", True), ("", False)):
            async with database.transaction() as tx:
                await tx.pg.execute("DELETE FROM alembic_version")
                if revision:
                    await tx.pg.execute("INSERT INTO alembic_version VALUES ($1)", revision)
            assert (await _problems(http) == {}) == is_ready, revision
    await database.close()


async def test_a_worker_is_ready_once_its_relay_has_been_up_and_not_before(
    empty_database: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    await migrate(url=empty_database, package="services.risk")
    async with _worker(url=empty_database, home=tmp_path, bootstrap=_AWAY) as http:

        async def has_begun() -> bool:
            return bool((await _problems(http))["worker"] == "has not been up yet: relay")

        await until(has_begun)
        assert set(await _problems(http)) == {"worker"}
    await ensure_topics(Kafka(kafka_bootstrap))
    async with _worker(url=empty_database, home=tmp_path, bootstrap=kafka_bootstrap) as http:

        async def is_ready() -> bool:
            return await _problems(http) == {}

        await until(is_ready)
        metrics = (await http.get(http.base_url.copy_with(path="/metrics"))).text
        assert 'tributary_job_down{service="risk",task="relay"} 0.0' in metrics
        assert 'tributary_outbox_pending_records{service="risk"} 0.0' in metrics
    database = Database(empty_database, pool_size=1)
    async with database.transaction() as tx:
        # As after a restored backup of another cluster: the last ack is of a record that is nowhere.
        await tx.pg.execute("INSERT INTO relay_ack VALUES ('scf.risk.rating.v1-0', 'another cluster', 0, 'e')")
    await database.close()
    async with _worker(url=empty_database, home=tmp_path, bootstrap=kafka_bootstrap) as http:

        async def says_so() -> bool:
            return "risk/relay" in await _problems(http)

        await until(says_so)
        assert (await http.get("/live")).status_code == 200


async def test_r25_a_worker_of_a_newer_release_does_nothing_before_the_migration_and_starts_by_itself_after_it(
    empty_database: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    await ensure_topics(Kafka(kafka_bootstrap))
    async with _worker(url=empty_database, home=tmp_path, bootstrap=kafka_bootstrap) as http:

        async def asks_for_the_migration() -> bool:
            return "tributary migrate" in (await _problems(http)).get("database", "")

        await until(asks_for_the_migration)
        # It goes on asking, and does nothing else.
        await asyncio.sleep(1)
        problems = await _problems(http)
        assert "tributary migrate" in problems["database"]
        assert problems["worker"] == "not started yet"
        assert (await http.get("/live")).status_code == 200
        await migrate(url=empty_database, package="services.risk")

        async def is_ready() -> bool:
            return await _problems(http) == {}

        await until(is_ready)


@pytest.fixture
async def wire(empty_database: str, kafka_bootstrap: str, unique_name: str) -> AsyncIterator[Line]:
    async with line(url=empty_database, bootstrap=kafka_bootstrap, name=unique_name) as made:
        yield made


@asynccontextmanager
async def _supervised(name: str, **runs: Any) -> AsyncIterator[Jobs]:
    stop, jobs = asyncio.Event(), Jobs()
    named = {f"{name}/{job}": lambda run=run: run(stop) for job, run in runs.items()}
    working = asyncio.create_task(jobs.supervise(named, stop=stop, awaited=set(named)))
    await asyncio.sleep(0)
    try:
        yield jobs
    finally:
        stop.set()
        await working


async def test_an_inbox_that_gets_no_partition_because_others_have_all_is_up_all_the_same(wire: Line) -> None:
    ready = worker_ready(wire.name)
    assert await ready() == "not started yet"

    async def is_up() -> bool:
        return await ready() is None

    # Three partitions, four members: one has nothing to do.
    async with _supervised(wire.name, **{f"inbox{n}": wire.inbox().run for n in range(4)}):
        assert "has not been up yet: inbox0" in (await ready() or "")
        await until(is_up)
    assert await ready() == "not started yet"


async def test_a_worker_whose_inbox_fails_too_often_is_down_for_good(wire: Line) -> None:
    async def refuse(_: Transaction, events: Sequence[Received]) -> None:
        raise ZeroDivisionError(len(events))

    await wire.publish([wire.happened(thing_id=f"t{n}") for n in range(30)])
    async with _supervised(wire.name, relay=wire.relay().run, inbox=wire.inbox({wire.happened: refuse}).run) as jobs:

        async def is_down() -> bool:
            return bool(jobs.problems)

        await until(is_down)
        assert set(jobs.problems) == {f"{wire.name}/inbox"}
