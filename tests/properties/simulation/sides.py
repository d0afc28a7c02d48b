"""The two sides of the differential test: how each runs a sequence of calls, and what each is left with."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import asyncpg

from shared.messaging.ddl import MESSAGING_1
from shared.storage.database import Database
from shared.storage.idempotency import IDEMPOTENCY_1
from tests.properties.simulation import protocol_rows
from tests.properties.simulation.database import ModelDatabase
from tests.properties.simulation.differential import MODEL, REAL, Session, drive
from tests.properties.simulation.faults import Rates
from tests.properties.simulation.loop import SimLoop
from tests.properties.simulation.postgres import Server

_LEFT = {
    "outbox_head": "SELECT topic, subject, sequence FROM outbox_head",
    "outbox": "SELECT position, topic, subject, sequence, type, body FROM outbox",
    "outbox_pending": "SELECT shard, position FROM outbox_pending",
    "lease": "SELECT name, owner, epoch FROM lease",
    "relay_ack": "SELECT shard, cluster_id, record_offset, event_id FROM relay_ack",
    "inbox_head": "SELECT topic, subject, sequence, event_id FROM inbox_head",
    "inbox_offset": "SELECT topic, partition, next_offset FROM inbox_offset",
    "inbox_stats": "SELECT topic, partition, consumed, duplicates FROM inbox_stats",
    "inbox_parked": """SELECT topic, subject, sequence, event_id, parked_id, type, reason, waits_topic, waits_subject,
        waits_sequence, attempts, replay FROM inbox_parked""",
    "idempotency": "SELECT client, route, key, body_hash, status, body FROM idempotency",
}
Outcome = tuple[list[str], dict[str, list[str]]]


class RealSide:
    """A real PostgreSQL with empty tables."""

    rows = REAL

    def __init__(self, database: Database, looking: asyncpg.Connection[Any]) -> None:
        self.database = database
        self._looking = looking

    async def settle(self, sessions: list[Session]) -> None:
        while busy := [session.pid for session in sessions if session.busy]:
            # Granted as soon as the other one's commit is answered; its own view of itself comes later.
            waiting = await self._looking.fetchval(
                "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND pid = ANY($1)",
                [pid for pid in busy if pid is not None],
            )
            if waiting == len(busy):
                return
            await asyncio.sleep(0.001)

    async def until_one_is_done(self, sessions: list[Session]) -> None:
        while all(session.busy for session in sessions):
            await asyncio.sleep(0.01)


async def on_postgres(url: str, seed: int, *, calls: int) -> Outcome:
    """Run a seed on a real server whose database is empty."""
    looking = await asyncpg.connect(url)
    database = Database(url, pool_size=2)
    try:
        await looking.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        for statement in (*MESSAGING_1, *IDEMPOTENCY_1):
            await looking.execute(statement)
        told = await drive(seed, RealSide(database, looking), calls=calls)
        left = {}
        for table, query in _LEFT.items():
            left[table] = sorted(str(tuple(row)) for row in await looking.fetch(query))
    finally:
        await database.close()
        await looking.close()
    return told, left


class ModelSide:
    """The model."""

    rows = MODEL

    def __init__(self, server: Server) -> None:
        self.database = ModelDatabase(server, url="model")

    async def settle(self, sessions: list[Session]) -> None:
        del sessions
        await asyncio.sleep(0.01)

    async def until_one_is_done(self, sessions: list[Session]) -> None:
        while all(session.busy for session in sessions):
            await asyncio.sleep(0.1)


def on_model(seed: int, *, calls: int) -> Outcome:
    """Run a seed on the model."""
    loop = SimLoop(seed)  # type: ignore[abstract] # the rest of a loop nobody calls
    faults = Rates(loop.random, on=False)
    server = Server(loop, name="model", tables=protocol_rows.TABLES, faults=faults, hits=Counter())
    told = loop.run(drive(seed, ModelSide(server), calls=calls))
    left = {
        table: sorted(str(_row(table, key, value)) for key, value in server.committed(table).items()) for table in _LEFT
    }
    return told, left


def _row(table: str, key: Any, value: Any) -> tuple[Any, ...]:
    columns = key if isinstance(key, tuple) else (key,)
    if table == "outbox":
        return (*columns, *(value[name] for name in ("topic", "subject", "sequence", "type", "body")))
    if table == "inbox_parked":
        names = (
            "parked_id", "type", "reason", "waits_topic", "waits_subject", "waits_sequence", "attempts", "replay",
        )  # fmt: skip
        return (*columns, *(value[name] for name in names))
    if table == "outbox_pending":
        return columns
    if table == "lease":
        return (*columns, *value[:2])
    return (*columns, *(value if isinstance(value, tuple) else (value,)))
