"""I7: the topics, applied again to empty read models, give the state that is shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from zlib import crc32

import asyncpg

from services.console.consumers import HANDLERS
from services.console.operations.rebuild import rebuild
from services.console.queries import offsets, state_hash
from shared.messaging.kafka import Kafka
from shared.runtime.settings import Settings
from shared.storage.database import Database, database_url, ensure_database, migrate
from tributary.verify.result import Result
from tributary.verify.snapshots import World
from tributary.verify.topics import waiting_from

NAME = "read models can be rebuilt"

_SCRATCH = "console_verify"
_DISCARDED = "SELECT topic, subject, sequence, event_id FROM inbox_decided WHERE decision = 'discarded'"
_PARKED = "SELECT topic, subject, sequence, reason, parked_at FROM inbox_parked ORDER BY parked_id"


async def check(world: World) -> Result:
    """Rebuild console up to the offsets that its live read models have reached, and compare the digests."""
    result, live = Result(), world.state["console"]
    reached, shown = await offsets(live), await state_hash(live)
    for row in await live.pg.fetch(_PARKED):
        what = f"console: number {row['sequence']} of {row['subject']} is parked ({row['reason']})"
        result.fly(what, age_s=world.age_s(row["parked_at"]))
    waiting = await waiting_from(Kafka.of(world.settings), world.ends, reached=reached)
    for partition, since in waiting.items():
        behind = world.ends[partition] - reached.get((partition.topic, partition.partition), 0)
        what = f"console has not read {behind} events of {partition.topic}-{partition.partition}"
        result.fly(what, age_s=world.age_s(since), many=behind)
    async with _scratch(world.settings) as database:
        result.checked = await rebuild(
            database,
            kafka=Kafka.of(world.settings),
            handlers=HANDLERS,
            until=reached,
            discarded={tuple(row) for row in await live.pg.fetch(_DISCARDED)},
        )
        async with database.reader() as tx:
            rebuilt = await state_hash(tx)
    if rebuilt != shown:
        result.violate(f"rebuilt from the topics the read models are {rebuilt[:12]}…, shown is {shown[:12]}…")
    return result


@asynccontextmanager
async def _scratch(settings: Settings) -> AsyncIterator[Database]:
    """Make an empty console database for the time of the check; another verify meanwhile waits."""
    server = await asyncpg.connect(settings.server_url)
    try:
        await server.execute("SELECT pg_advisory_lock($1)", crc32(_SCRATCH.encode()))
        await _drop(server)
        url = await ensure_database(server_url=settings.server_url, service=_SCRATCH)
        database = Database(url, pool_size=2)
        try:
            await migrate(url=url, package="services.console")
            yield database
        finally:
            await database.close()
            await _drop(server)
    finally:
        await server.close()


async def _drop(server: asyncpg.Connection) -> None:
    name = database_url(server_url="", service=_SCRATCH).removeprefix("/")
    await server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
