"""A publisher and a consumer of a topic of their own, on real servers."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, ClassVar

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from shared.events.envelope import EVENT_TYPES, Event, Received
from shared.events.topics import TOPICS
from shared.messaging.ddl import MESSAGING_1
from shared.messaging.inbox import Inbox
from shared.messaging.kafka import Kafka, ensure_topics
from shared.messaging.outbox import append
from shared.messaging.relay import Relay
from shared.runtime.jobs import Jobs
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
    """Outbox → relay → Kafka → inbox over one topic, and over one database unless the consumer has its own."""

    def __init__(self, *, url: str, bootstrap: str, name: str, consumer_url: str | None = None) -> None:
        self.name = name
        self.bootstrap = bootstrap
        self.database = Database(url, pool_size=6)
        self.consumer = Database(consumer_url, pool_size=6) if consumer_url else self.database
        self.happened = event_type(name)

    async def publish(self, events: Sequence[Event]) -> list[str]:
        async with self.database.transaction() as tx:
            return await append(tx, events, source=self.name)

    async def effects(self) -> list[tuple[str, int]]:
        async with self.consumer.reader() as tx:
            rows = await tx.pg.fetch("SELECT thing_id, n FROM effect ORDER BY nth")
        return [(row["thing_id"], row["n"]) for row in rows]

    async def parked(self) -> list[tuple[str, int, str]]:
        async with self.consumer.reader() as tx:
            rows = await tx.pg.fetch("SELECT subject, sequence, reason FROM inbox_parked ORDER BY 1, 2")
        return [tuple(row) for row in rows]

    def relay(self) -> Relay:
        return Relay(self.database, kafka=Kafka(self.bootstrap), service=self.name)

    def inbox(self, handlers: Any = None) -> Inbox:
        given = {self.happened: record_effects} if handlers is None else handlers
        return Inbox(
            self.consumer,
            kafka=Kafka(self.bootstrap),
            service=self.name,
            handlers=given,
            topics=[topic for topic in TOPICS if topic.startswith(f"scf.{self.name}.")],
        )


@asynccontextmanager
async def line(*, url: str, bootstrap: str, name: str, consumer_url: str | None = None) -> AsyncIterator[Line]:
    made = Line(url=url, bootstrap=bootstrap, name=name, consumer_url=consumer_url)
    await prepare(made.database)
    if made.consumer is not made.database:
        await prepare(made.consumer)
    await ensure_topics(Kafka(bootstrap), topics={made.happened.topic: TOPICS[made.happened.topic]})
    try:
        yield made
    finally:
        await made.database.close()
        await made.consumer.close()
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


@asynccontextmanager
async def supervised(name: str, **runs: Callable[[asyncio.Event], Awaitable[None]]) -> AsyncIterator[Jobs]:
    """Run relays and inboxes as a worker does while the block runs: what fails begins again."""
    stop, jobs = asyncio.Event(), Jobs()
    named = {f"{name}/{job}": partial(run, stop) for job, run in runs.items()}
    working = asyncio.create_task(jobs.supervise(named, stop=stop))
    try:
        yield jobs
    finally:
        stop.set()
        await asyncio.wait_for(working, 60)


class Load:
    """Publishes round after round on several aggregates, and remembers which commits were answered."""

    def __init__(self, wire: Line, *, aggregates: int = 6, pause_s: float = 0.02, patience_s: float = 20) -> None:
        self.answered: list[int] = []
        self.unanswered: list[int] = []
        self._wire = wire
        self._aggregates = aggregates
        self._pause_s = pause_s
        self._patience_s = patience_s
        self._enough = asyncio.Event()

    @asynccontextmanager
    async def going(self) -> AsyncIterator[None]:
        """Publish while the block runs."""
        self._enough.clear()
        publishing = asyncio.create_task(self._publish())
        try:
            yield
        finally:
            self._enough.set()
            await publishing

    async def _publish(self) -> None:
        while not self._enough.is_set():
            await self.publish_once()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._enough.wait(), self._pause_s)

    async def publish_once(self) -> None:
        nth = len(self.answered) + len(self.unanswered)
        events = [self._wire.happened(thing_id=f"t{k}", n=nth) for k in range(self._aggregates)]
        try:
            async with asyncio.timeout(self._patience_s):
                await self._wire.publish(events)
            self.answered.append(nth)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError):
            self.unanswered.append(nth)


async def took_effect_once(wire: Line, load: Load, *, within_s: float = 60) -> list[int]:
    """Wait until all is sent and applied; then what committed took effect once and in order, and nothing is parked.

    Return which rounds committed although nobody was told.
    """
    said: dict[str, list[str]] = {}
    rounds: set[int] = set()

    async def all_came() -> bool:
        nonlocal said, rounds
        async with wire.database.reader() as tx:
            rows = await tx.pg.fetch("SELECT subject, id, body::json->>'n' AS n FROM outbox ORDER BY subject, sequence")
            pending = await tx.pg.fetchval("SELECT count(*) FROM outbox_pending")
        async with wire.consumer.reader() as tx:
            effects = await tx.pg.fetchval("SELECT count(*) FROM effect")
        said, rounds = defaultdict(list), {int(row["n"]) for row in rows}
        for row in rows:
            said[row["subject"]].append(row["id"])
        return bool(pending == 0 and effects >= len(rows))

    await until(all_came, within_s=within_s)
    done = defaultdict(list)
    async with wire.consumer.reader() as tx:
        for row in await tx.pg.fetch("SELECT thing_id, event_id FROM effect ORDER BY nth"):
            done[row["thing_id"]].append(row["event_id"])
    assert done == said

    async def nothing_waits() -> bool:
        return not await wire.parked()

    # A copy that was parked for a gap, and is older than its head by now, goes with the next sweep.
    with suppress(TimeoutError):
        await until(nothing_waits, within_s=20)
    assert await wire.parked() == []
    assert set(load.answered) <= rounds
    assert rounds <= set(load.answered) | set(load.unanswered)
    return sorted(rounds & set(load.unanswered))


async def until(condition: Callable[[], Awaitable[bool]], *, within_s: float = 60) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(within_s):
        while not await condition():
            await asyncio.sleep(0.02)
