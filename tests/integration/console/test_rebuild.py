"""I7 over a real Kafka: what the worker keeps, and what a rebuild from the topics' beginning gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from services.console import queries
from services.console.consumers import HANDLERS
from services.console.main import build
from services.console.operations.rebuild import rebuild
from services.console.worker import run
from shared.events.envelope import Event
from shared.events.topics import TOPICS
from shared.messaging.kafka import Kafka, ensure_topics
from shared.messaging.outbox import append
from shared.messaging.relay import Relay
from shared.runtime.settings import Settings
from shared.storage.database import Database, migrate
from tests.integration.console.story import story
from tests.support.messaging import running, until
from tests.support.service import bench, settings_for
from tributary.embedded.kafka import EmbeddedKafka


@pytest.fixture
async def own_kafka(tmp_path: Path) -> AsyncIterator[str]:
    """Give a broker of this test's own: it publishes on the real topics, which others' consumers may read."""
    kafka = EmbeddedKafka(tmp_path / "kafka")
    await kafka.start()
    yield kafka.bootstrap_servers
    kafka.kill()


@asynccontextmanager
async def _empty(postgres_url: str, name: str) -> AsyncIterator[Database]:
    """Give a migrated empty database of console."""
    server = await asyncpg.connect(postgres_url)
    await server.execute(f'CREATE DATABASE "{name}"')
    url = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
    await migrate(url=url, package="services.console")
    database = Database(url, pool_size=2)
    try:
        yield database
    finally:
        await database.close()
        await server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await server.close()


async def _publish(database: Database, bootstrap: str, events: Sequence[Event]) -> None:
    """Send events by an outbox and a relay of each publisher, as the services do."""
    await ensure_topics(Kafka(bootstrap))
    by_service: dict[str, list[Event]] = {}
    for event in events:
        by_service.setdefault(event.topic.split(".")[1], []).append(event)
    for service, said in by_service.items():
        async with database.transaction() as tx:
            await append(tx, said, source=service)
        relay = Relay(database, kafka=Kafka(bootstrap), service=service)

        async def sent() -> bool:
            async with database.reader() as tx:
                return not await tx.pg.fetchval("SELECT count(*) FROM outbox_pending")

        async with running(relay.run):
            await until(sent)


async def _kept(database: Database) -> int:
    async with database.reader() as tx:
        return int(await tx.pg.fetchval("SELECT count(*) FROM feed"))


async def _state(database: Database) -> str:
    async with database.snapshot() as tx:
        return await queries.state_hash(tx)


async def test_i7_topics_applied_again_from_their_beginning_give_the_same_state(
    fresh_database: str, postgres_url: str, own_kafka: str, unique_name: str, tmp_path: Path
) -> None:
    settings: Settings = settings_for(url=fresh_database, home=tmp_path, bootstrap_servers=own_kafka)
    async with bench("console", build, url=fresh_database, home=tmp_path) as console:
        live = console.database
        await _publish(live, own_kafka, story())

        async def caught_up() -> bool:
            return await _kept(live) >= len(story())

        stop = asyncio.Event()
        working = asyncio.create_task(run(settings, stop))
        await until(caught_up, within_s=60)
        stop.set()
        await working
        async with live.snapshot() as tx:
            expected, reached = await queries.state_hash(tx), await queries.offsets(tx)
        arguments = {"kafka": Kafka(own_kafka), "handlers": HANDLERS, "topics": TOPICS}
        async with _empty(postgres_url, f"{unique_name}_again") as again:
            applied = await rebuild(again, **arguments, until=reached)  # type: ignore[arg-type] # of mixed kinds
            assert await _state(again) == expected
            assert applied == await _kept(live)
        async with _empty(postgres_url, f"{unique_name}_part") as part:
            less = {key: offset // 2 for key, offset in reached.items()}
            await rebuild(part, **arguments, until=less)  # type: ignore[arg-type] # of mixed kinds
            assert await _state(part) != expected
