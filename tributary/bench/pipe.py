"""A service of the bench's own: its event, its tables, its relay and inbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

from shared.events.envelope import Event, Received
from shared.events.topics import TOPICS
from shared.messaging.ddl import MESSAGING_1
from shared.messaging.inbox import Inbox
from shared.messaging.kafka import Kafka
from shared.messaging.outbox import append
from shared.messaging.relay import Relay
from shared.storage.database import Database, Transaction

SERVICE, TOPIC, PARTITIONS = "bench", "scf.bench.thing.v1", 6
SUBJECTS = 500
_KEEP = "INSERT INTO effect (event_id) SELECT * FROM unnest($1::text[])"
Handle = Callable[[Transaction, Sequence[Received]], Awaitable[None]]


class ThingHappened(Event):
    """An event of about a kilobyte."""

    type: ClassVar[str] = "thing.happened.v1"
    topic: ClassVar[str] = TOPIC
    thing_id: str
    note: str = "x" * 900

    @property
    def subject(self) -> str:
        return self.thing_id


def name_topics(*names: str) -> dict[str, int]:
    """Make the bench's topics known in this process; return their partitions."""
    made = dict.fromkeys(names, PARTITIONS)
    TOPICS.update(made)
    return made


async def prepare(database: Database) -> None:
    """Create the protocol's tables and one for effects."""
    async with database.transaction() as tx:
        for statement in MESSAGING_1:
            await tx.pg.execute(statement)
        await tx.pg.execute("CREATE TABLE effect (event_id text NOT NULL)")


@asynccontextmanager
async def pipeline(database: Database, kafka: Kafka, handler: Handle) -> AsyncIterator[None]:
    """Run a relay and an inbox while the block runs."""
    stop = asyncio.Event()
    relay = Relay(database, kafka=kafka, service=SERVICE)
    inbox = Inbox(database, kafka=kafka, service=SERVICE, handlers={ThingHappened: handler}, topics=[TOPIC])
    async with asyncio.TaskGroup() as group:
        group.create_task(relay.run(stop))
        group.create_task(inbox.run(stop))
        yield
        stop.set()


@asynccontextmanager
async def consuming(database: Database, kafka: Kafka, handler: Handle) -> AsyncIterator[None]:
    """Run an inbox alone while the block runs."""
    stop = asyncio.Event()
    inbox = Inbox(database, kafka=kafka, service=SERVICE, handlers={ThingHappened: handler}, topics=[TOPIC])
    async with asyncio.TaskGroup() as group:
        group.create_task(inbox.run(stop))
        yield
        stop.set()


async def publish(database: Database, numbers: range) -> None:
    """Publish one event a number in one transaction, over the bench's subjects."""
    async with database.transaction() as tx:
        await append(tx, [ThingHappened(thing_id=f"t{n % SUBJECTS}") for n in numbers], source=SERVICE)


async def keep_effects(tx: Transaction, events: Sequence[Received]) -> None:
    """Write down that each event took effect."""
    await tx.pg.execute(_KEEP, [event.id for event in events])
