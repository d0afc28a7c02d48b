"""What the checks look at, taken in the order that makes comparing exact while events are in flight.

First one REPEATABLE READ snapshot a service: its state, heads and parked events. Then, later, a second one for the
outboxes: whatever a consumer of the first round has applied, its publisher's outbox of the second round contains.
Last the ends of the topics: whatever an outbox says was acked lies before them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import asyncpg
from aiokafka import TopicPartition
from sqlalchemy.exc import DBAPIError

from shared.messaging.kafka import Kafka
from shared.runtime.settings import Settings
from shared.storage.database import Database, Transaction
from tributary.services import SERVICES
from tributary.verify.topics import ends_of

_LAST_SIGN = """
SELECT greatest((SELECT max(time) FROM outbox), (SELECT max(at) FROM audit), (SELECT max(expires_at) FROM lease))
"""


class NothingToVerify(RuntimeError):
    """A service has no database yet."""

    code: ClassVar[str] = "nothing_to_verify"

    def __init__(self, *, service: str) -> None:
        """Keep the service."""
        self.service = service
        super().__init__(f"{service} has no database yet: start the platform once with `tributary up`.")


@dataclass(frozen=True, slots=True)
class World:
    """Every service's state, every outbox a moment later, the ends of the topics after that; and what time it is."""

    settings: Settings
    databases: Mapping[str, Database]
    state: Mapping[str, Transaction]
    outboxes: Mapping[str, Transaction]
    ends: Mapping[TopicPartition, int]
    now: datetime

    def age_s(self, since: datetime) -> float:
        """Return how long ago that was, when the state was taken."""
        return max(0.0, (self.now - since).total_seconds())


@asynccontextmanager
async def world_of(settings: Settings, *, stopped: bool = False) -> AsyncIterator[World]:
    """Take everything in order. Of a stopped platform, nothing ages after its last sign of life."""
    databases = {service: Database(settings.database(service), pool_size=4) for service in SERVICES}
    try:
        async with _round(databases) as state, _round(databases) as outboxes:
            yield World(
                settings=settings,
                databases=databases,
                state=state,
                outboxes=outboxes,
                ends=await ends_of(Kafka.of(settings)),
                now=await _moment(state, stopped=stopped),
            )
    finally:
        for database in databases.values():
            await database.close()


@asynccontextmanager
async def _round(databases: Mapping[str, Database]) -> AsyncIterator[dict[str, Transaction]]:
    """Open a snapshot of every database.

    In a task of its own, because two rounds are open at once on purpose; the pools are large enough for both.
    """
    opened: asyncio.Future[dict[str, Transaction]] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def hold() -> None:
        try:
            async with AsyncExitStack() as stack:
                snapshots = {name: await _open(stack, name, database) for name, database in databases.items()}
                opened.set_result(snapshots)
                await done.wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)

    holder = asyncio.create_task(hold())
    try:
        yield await opened
    finally:
        done.set()
        await holder


async def _open(stack: AsyncExitStack, service: str, database: Database) -> Transaction:
    try:
        tx = await stack.enter_async_context(database.snapshot())
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == asyncpg.InvalidCatalogNameError.sqlstate:
            raise NothingToVerify(service=service) from error
        raise
    # It is held for as long as the checks take, and locks nothing.
    await tx.pg.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    # PostgreSQL takes the snapshot with the first query, not with BEGIN.
    if await tx.pg.fetchval("SELECT to_regclass('outbox')") is None:
        raise NothingToVerify(service=service)
    return tx


async def _moment(state: Mapping[str, Transaction], *, stopped: bool) -> datetime:
    now: datetime = await state[SERVICES[0]].pg.fetchval("SELECT clock_timestamp()")
    if not stopped:
        return now
    signs = [await tx.pg.fetchval(_LAST_SIGN) for tx in state.values()]
    return min(now, max((sign for sign in signs if sign is not None), default=now))
