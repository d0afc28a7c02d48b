"""`tributary events adopt`: after a restore that lost commits, the outbox takes back the events that it published.

The topic still has them and others acted upon them. Taken back, numbering goes on behind them, and no sequence is given
twice. The service's own tables stay as the backup had them: what the events say must be entered again by people.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.events.topics import TOPICS, topics_of
from shared.messaging import relay_rows
from shared.messaging.kafka import Kafka, cluster_id
from shared.messaging.read_back import on_topic, partition_of_shard
from shared.messaging.relay_rows import OnTopic
from shared.runtime.settings import Settings
from shared.storage.database import Database, Transaction

_PAGE = 1_000
_KEEP = """
INSERT INTO outbox (id, topic, subject, sequence, type, source, traceparent, time, body)
SELECT r.* FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[],
    $8::timestamptz[], $9::text[]) AS r(id, topic, subject, sequence, type, source, traceparent, time, body)
LEFT JOIN outbox_head h USING (topic, subject) WHERE r.sequence > coalesce(h.sequence, 0)
ON CONFLICT (topic, subject, sequence) DO NOTHING RETURNING id
"""
_HEADS = """
INSERT INTO outbox_head AS h (topic, subject, sequence)
SELECT topic, subject, max(sequence) FROM unnest($1::text[], $2::text[], $3::bigint[]) AS n(topic, subject, sequence)
GROUP BY topic, subject ORDER BY topic, subject
ON CONFLICT (topic, subject) DO UPDATE SET sequence = greatest(h.sequence, excluded.sequence)
"""
_ACK = """
INSERT INTO relay_ack (shard, cluster_id, record_offset, event_id) VALUES ($1, $2, $3, $4)
ON CONFLICT (shard) DO UPDATE SET cluster_id = excluded.cluster_id, record_offset = excluded.record_offset,
    event_id = excluded.event_id
"""


class SequenceTaken(RuntimeError):
    """Since the restore the service gave a sequence of the topic to another event."""

    code: ClassVar[str] = "sequence_taken"

    def __init__(self, *, record: OnTopic) -> None:
        """Keep the record, and say what an operator does."""
        self.record = record
        super().__init__(
            f"{record.topic} {record.subject} #{record.sequence}: the service has written another event since the "
            "restore. Restore again, and adopt before its API and its worker start."
        )


@dataclass(frozen=True, slots=True)
class Adopted:
    """An event that the outbox took back."""

    topic: str
    subject: str
    sequence: int
    type: str
    id: str


async def adopt(settings: Settings, *, service: str) -> list[Adopted]:
    """Take back what the service's topics hold beyond its outbox, all or nothing; SequenceTaken when that cannot be."""
    database = Database(settings.database(service), pool_size=1)
    try:
        return await adopt_into(database, kafka=Kafka.of(settings), topics=topics_of(service))
    finally:
        await database.close()


async def adopt_into(database: Database, *, kafka: Kafka, topics: Sequence[str]) -> list[Adopted]:
    """Take back what these topics hold beyond the outbox of a database."""
    cluster = await cluster_id(kafka)
    shards = [f"{topic}-{n}" for topic in topics for n in range(TOPICS[topic])]
    adopted = []
    async with _consumer(kafka) as consumer, database.transaction() as tx:
        # The shards' relays wait: their marks need these rows, and what they know of the topic is about to change.
        await tx.pg.execute("LOCK TABLE relay_ack, outbox_head IN SHARE ROW EXCLUSIVE MODE")
        acks = {ack["shard"]: ack["record_offset"] for ack in await relay_rows.last_acks(tx, shards=shards)}
        for shard in shards:
            partition, last = partition_of_shard(shard), None
            async for page in _pages(consumer, partition, after=acks.get(shard)):
                adopted += await _adopt_page(tx, page)
                last = page[-1]
            if last is not None:
                await tx.pg.execute(_ACK, shard, cluster, last[0].offset, last[1].id)
    return adopted


async def _adopt_page(tx: Transaction, page: Sequence[tuple[Any, OnTopic]]) -> list[Adopted]:
    rows = [_row(record, seen) for record, seen in page]
    kept = {row["id"] for row in await tx.pg.fetch(_KEEP, *map(list, zip(*rows, strict=True)))}
    taken = await relay_rows.first_unknown(tx, records=[seen for _, seen in page])
    if taken is not None:
        raise SequenceTaken(record=page[taken][1])
    columns = [[getattr(seen, name) for _, seen in page] for name in ("topic", "subject", "sequence")]
    await tx.pg.execute(_HEADS, *columns)
    return [Adopted(topic, subject, n, type_, id_) for id_, topic, subject, n, type_, *_ in rows if id_ in kept]


@asynccontextmanager
async def _consumer(kafka: Kafka) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(**kafka.options(), auto_offset_reset="none", enable_auto_commit=False)
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def _pages(
    consumer: AIOKafkaConsumer, partition: TopicPartition, *, after: int | None
) -> AsyncIterator[list[tuple[Any, OnTopic]]]:
    """Yield the records of a partition that carry an envelope, beyond an offset, as far as they go now."""
    end = (await consumer.end_offsets([partition]))[partition]
    at = (await consumer.beginning_offsets([partition]))[partition] if after is None else after + 1
    consumer.assign([partition])
    consumer.seek(partition, at)
    while at < end:
        records = (await consumer.getmany(partition, timeout_ms=1_000, max_records=_PAGE)).get(partition, [])
        page = [(record, seen) for record in records if (seen := on_topic(record)) is not None]
        if page:
            yield page
        at = records[-1].offset + 1 if records else at


def _row(record: Any, seen: OnTopic) -> tuple[Any, ...]:
    headers = {name: value.decode() for name, value in record.headers}
    return (
        seen.id,
        seen.topic,
        seen.subject,
        seen.sequence,
        headers["ce_type"],
        headers["ce_source"],
        headers.get("traceparent"),
        datetime.fromisoformat(headers["ce_time"]),
        record.value.decode(),
    )
