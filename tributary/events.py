"""`tributary events`: watch the topics, look at one event, send a topic again from its outbox."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.events.envelope import Sent
from shared.events.topics import TOPICS, shard_of, topics_of
from shared.messaging.kafka import Kafka, ensure_topics
from shared.messaging.retention import bring_back
from shared.runtime.settings import Settings
from shared.storage.database import Database
from tributary.services import SERVICES

_IDLE_S = 0.5


class UnknownTopic(LookupError):
    """No service publishes a topic of this name."""

    code: ClassVar[str] = "unknown_topic"

    def __init__(self, *, topic: str) -> None:
        """Keep what was asked for."""
        self.topic = topic
        super().__init__(f"No topic is called {topic!r}; there are: {', '.join(TOPICS)}.")


class UnknownEvent(LookupError):
    """No outbox holds an event of this id."""

    code: ClassVar[str] = "unknown_event"

    def __init__(self, *, event_id: str) -> None:
        """Keep the id asked for."""
        self.event_id = event_id
        super().__init__(f"No outbox holds an event {event_id!r}.")


async def tail(settings: Settings, *, topics: Sequence[str], from_start: bool, count: int | None) -> int:
    """Print one line an event as it comes, or from the topics' start, until `count` lines or an interrupt."""
    for topic in topics:
        if topic not in TOPICS:
            raise UnknownTopic(topic=topic)
    wanted = [TopicPartition(topic, n) for topic in topics or TOPICS for n in range(TOPICS[topic])]
    consumer = AIOKafkaConsumer(**Kafka.of(settings).options(), auto_offset_reset="earliest")
    printed = 0
    try:
        await consumer.start()
        consumer.assign(wanted)
        await (consumer.seek_to_beginning(*wanted) if from_start else consumer.seek_to_end(*wanted))
        while count is None or printed < count:
            batches = await consumer.getmany(timeout_ms=int(_IDLE_S * 1000))
            records = sorted((r for batch in batches.values() for r in batch), key=lambda record: record.timestamp)
            for record in records[: None if count is None else count - printed]:
                sys.stdout.write(_line(record) + "\n")
                printed += 1
            sys.stdout.flush()
    finally:
        await consumer.stop()
    return 0


async def show(settings: Settings, *, event_id: str) -> dict[str, Any]:
    """Return an event as its outbox keeps it, its headers and its body; UnknownEvent when none does."""
    for service in SERVICES:
        async with _database(settings, service) as database, database.reader() as tx:
            row = await tx.pg.fetchrow("SELECT * FROM outbox_kept WHERE id = $1", event_id)
            if row is None:
                continue
            pending = await tx.pg.fetchval(
                "SELECT true FROM outbox_pending WHERE position = $1 AND shard = $2",
                row["position"],
                shard_of(topic=row["topic"], subject=row["subject"]),
            )
            return _document(row, pending=bool(pending))
    raise UnknownEvent(event_id=event_id)


@dataclass(frozen=True, slots=True)
class Republished:
    """What a republish marked: how many rows, and which consumers start these topics again."""

    topics: list[str]
    rows: int
    rewound: list[str]


async def republish(settings: Settings, *, service: str, topics: Sequence[str]) -> Republished:
    """Mark every outbox row of the topics as unsent, and let every consumer read them again from the start.

    For a topic that was lost. It is safe at any time: the relay sends in order, consumers skip what they applied.
    """
    chosen = list(topics) or topics_of(service)
    for topic in chosen:
        if topic not in topics_of(service):
            raise UnknownTopic(topic=topic)
    kafka = Kafka.of(settings)
    await ensure_topics(kafka)
    async with _database(settings, service) as database:
        rows = await send_again(database, topics=chosen)
    starts, rewound = await starts_of(kafka, topics=chosen), []
    for consumer in SERVICES:
        async with _database(settings, consumer) as database:
            if await rewind(database, starts=starts):
                rewound.append(consumer)
    return Republished(chosen, rows, rewound)


async def send_again(database: Database, *, topics: Sequence[str]) -> int:
    """Mark every outbox row of the topics as unsent, forget where their last acks were; return how many rows."""
    shards = [f"{topic}-{n}" for topic in topics for n in range(TOPICS[topic])]
    async with database.transaction() as tx:
        await bring_back(tx, topics=topics)
        rows = await tx.pg.fetch("SELECT position, topic, subject FROM outbox WHERE topic = ANY($1)", list(topics))
        await tx.pg.execute("DELETE FROM relay_ack WHERE shard = ANY($1)", shards)
        await tx.pg.execute(
            """INSERT INTO outbox_pending (shard, position) SELECT * FROM unnest($1::text[], $2::bigint[])
            ON CONFLICT DO NOTHING""",
            [shard_of(topic=row["topic"], subject=row["subject"]) for row in rows],
            [row["position"] for row in rows],
        )
    return len(rows)


async def starts_of(kafka: Kafka, *, topics: Sequence[str]) -> dict[TopicPartition, int]:
    """Return where each partition of the topics starts now: at 0, unless somebody truncated it."""
    consumer = AIOKafkaConsumer(**kafka.options())
    try:
        await consumer.start()
        wanted = [TopicPartition(topic, n) for topic in topics for n in range(TOPICS[topic])]
        starts: dict[TopicPartition, int] = await consumer.beginning_offsets(wanted)
    finally:
        await consumer.stop()
    return starts


async def rewind(database: Database, *, starts: Mapping[TopicPartition, int]) -> bool:
    """Send a consumer back to where its topics start; return whether it was elsewhere.

    What a truncated topic lost comes again behind that.
    """
    async with database.transaction() as tx:
        moved = await tx.pg.fetch(
            """INSERT INTO inbox_offset AS o (topic, partition, next_offset)
            SELECT s.* FROM unnest($1::text[], $2::int[], $3::bigint[]) AS s(topic, partition, start)
            LEFT JOIN inbox_offset known USING (topic, partition) WHERE known.topic IS NOT NULL OR s.start > 0
            ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset
            WHERE o.next_offset <> excluded.next_offset RETURNING 1""",
            [each.topic for each in starts],
            [each.partition for each in starts],
            list(starts.values()),
        )
    return bool(moved)


@asynccontextmanager
async def _database(settings: Settings, service: str) -> AsyncIterator[Database]:
    database = Database(settings.database(service), pool_size=1)
    try:
        yield database
    finally:
        await database.close()


def _line(record: Any) -> str:
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    body = (record.value or b"").decode("utf-8", "replace")
    return (
        f"{headers.get('ce_time', '?')}  {headers.get('ce_type', '?'):<38} "
        f"{headers.get('ce_subject', '?')} #{headers.get('ce_sequence', '?')}  {headers.get('ce_id', '?')}  {body}"
    )


def _document(row: asyncpg.Record, *, pending: bool) -> dict[str, Any]:
    sent = Sent.of(row)
    return {
        "topic": row["topic"],
        "key": row["subject"],
        "position": row["position"],
        "sent": not pending,
        "headers": {name: value.decode() for name, value in sent.headers()},
        "body": json.loads(row["body"]),
    }
