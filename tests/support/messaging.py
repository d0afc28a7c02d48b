"""A publisher and a consumer of a topic of their own, on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from shared.events.envelope import EVENT_TYPES, Event, Received
from shared.events.topics import TOPICS
from shared.messaging.ddl import MESSAGING_1
from shared.messaging.inbox import Inbox
from shared.messaging.kafka import Kafka, ensure_topics
from shared.messaging.outbox import append
from shared.messaging.relay import Relay
from shared.storage.database import Database, Transaction


def event_type(name: str, *, noun: str = "thing", partitions: int = 3) -> Any:
    """Return an event class on a topic of its own."""

    class Happened(Event):
        type: ClassVar[str] = f"{noun}.{name}.v1"
        topic: ClassVar[str] = f"scf.{name}.{noun}.v1"
        thing_id: str
        n: int = 0

        @property
        def subject(self) -> str:
            return self.thing_id

    TOPICS[Happened.topic] = partitions
    EVENT_TYPES[Happened.type] = Happened
    return Happened


async def prepare(database: Database) -> None:
    """Create the protocol's tables and one that records effects."""
    async with database.transaction() as tx:
        for statement in MESSAGING_1:
            await tx.pg.execute(statement)
        await tx.pg.execute(
            "CREATE TABLE effect (nth bigint GENERATED ALWAYS AS IDENTITY, thing_id text, n int, event_id text)"
        )


async def record_effects(tx: Transaction, events: Sequence[Received]) -> None:
    """Record each event as an effect."""
    await tx.pg.execute(
        "INSERT INTO effect (thing_id, n, event_id) SELECT * FROM unnest($1::text[], $2::int[], $3::text[])",
        [event.subject for event in events],
        [event.event.n for event in events if event.event is not None],  # type: ignore[attr-defined] # event_type's
        [event.id for event in events],
    )


class Line:
    """Outbox → relay → Kafka → inbox over one database and one topic."""

    def __init__(self, *, url: str, bootstrap: str, name: str) -> None:
        self.name = name
        self.bootstrap = bootstrap
        self.database = Database(url, pool_size=6)
        self.happened = event_type(name)

    async def publish(self, events: Sequence[Event]) -> list[str]:
        async with self.database.transaction() as tx:
            return await append(tx, events, source=self.name)

    async def effects(self) -> list[tuple[str, int]]:
        async with self.database.reader() as tx:
            rows = await tx.pg.fetch("SELECT thing_id, n FROM effect ORDER BY nth")
        return [(row["thing_id"], row["n"]) for row in rows]

    async def parked(self) -> list[tuple[str, int, str]]:
        async with self.database.reader() as tx:
            rows = await tx.pg.fetch("SELECT subject, sequence, reason FROM inbox_parked ORDER BY 1, 2")
        return [tuple(row) for row in rows]

    def relay(self) -> Relay:
        return Relay(self.database, kafka=Kafka(self.bootstrap), service=self.name)

    def inbox(self, handlers: Any = None) -> Inbox:
        given = {self.happened: record_effects} if handlers is None else handlers
        return Inbox(
            self.database,
            kafka=Kafka(self.bootstrap),
            service=self.name,
            handlers=given,
            topics=[topic for topic in TOPICS if topic.startswith(f"scf.{self.name}.")],
        )


@asynccontextmanager
async def line(*, url: str, bootstrap: str, name: str) -> AsyncIterator[Line]:
    made = Line(url=url, bootstrap=bootstrap, name=name)
    await prepare(made.database)
    await ensure_topics(Kafka(bootstrap), topics={made.happened.topic: TOPICS[made.happened.topic]})
    try:
        yield made
    finally:
        await made.database.close()
        del TOPICS[made.happened.topic], EVENT_TYPES[made.happened.type]


@asynccontextmanager
async def running(*runs: Callable[[asyncio.Event], Awaitable[None]]) -> AsyncIterator[None]:
    """Run relays and inboxes while the block runs; what kills one of them fails the test."""
    stop = asyncio.Event()
    tasks = [asyncio.ensure_future(run(stop)) for run in runs]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def until(condition: Callable[[], Awaitable[bool]], *, within_s: float = 20) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(within_s):
        while not await condition():
            await asyncio.sleep(0.02)
