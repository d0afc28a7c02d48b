"""The relay: pending outbox rows → Kafka, in order per aggregate, each at least once and marked only when acked.

One owner a shard (lease and epoch). The epoch fences marks, not sends: a send whose answer was lost may come twice,
and consumers skip the copy. One task sends everything: concurrent senders reorder in an outage.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError
from sqlalchemy.exc import SQLAlchemyError

from shared.events.envelope import Sent
from shared.events.topics import TOPICS, topics_of
from shared.messaging.kafka import Kafka, cluster_id
from shared.messaging.outbox import forget_waker, waker_of
from shared.runtime.jobs import Unrecoverable
from shared.runtime.leases import keep_leases, release_leases
from shared.storage.database import Database
from shared.values.ids import new_id

LEASE_S = 5.0
_RENEW_S, _FROM_ZERO_S = 1.0, 10.0
_SHORTEST_POLL_S, _LONGEST_POLL_S = 0.005, 0.05
_BATCH = 500
_log = structlog.get_logger()

_READ = """
SELECT s.shard, o.position, o.id, o.type, o.source, o.topic, o.subject, o.sequence, o.time, o.traceparent, o.body
FROM unnest($1::text[], $2::bigint[]) AS s(shard, floor)
CROSS JOIN LATERAL (
    SELECT p.position FROM outbox_pending p WHERE p.shard = s.shard AND p.position > s.floor
    ORDER BY p.position LIMIT $3) AS pending
JOIN outbox o USING (position) ORDER BY o.position
"""
_MARK = """
WITH mine AS (
    SELECT name FROM lease JOIN unnest($1::text[], $2::bigint[]) AS l(name, epoch) USING (name, epoch)
    WHERE owner = $3 FOR SHARE OF lease),
marked AS (
    DELETE FROM outbox_pending p USING unnest($4::text[], $5::bigint[]) AS d(shard, position)
    WHERE (p.shard, p.position) = (d.shard, d.position) AND p.shard IN (SELECT name FROM mine) RETURNING 1),
acked AS (
    INSERT INTO relay_ack AS a (shard, cluster_id, record_offset, event_id)
    SELECT shard, $6, record_offset, event_id
    FROM unnest($7::text[], $8::bigint[], $9::text[]) AS k(shard, record_offset, event_id)
    WHERE shard IN (SELECT name FROM mine)
    ON CONFLICT (shard) DO UPDATE SET cluster_id = excluded.cluster_id,
        record_offset = excluded.record_offset, event_id = excluded.event_id RETURNING 1)
SELECT count(*) FROM marked
"""


class TopicLost(Unrecoverable):
    """The last acked record is not where it was: the topic was lost, or the database restored from a backup."""

    code: ClassVar[str] = "topic_lost"

    def __init__(self, *, shard: str) -> None:
        """Keep the shard, and say what an operator does."""
        self.shard = shard
        super().__init__(f"{shard}: the last acked record is gone; look, then run `tributary events republish`.")


@dataclass(slots=True)
class _Shard:
    epoch: int
    floor: int = 0
    reached: int = 0


class Relay:
    """One service's relay in one process."""

    def __init__(self, database: Database, *, kafka: Kafka, service: str) -> None:
        """Prepare the relay of a service's outbox; it needs a connection of its own."""
        self.owner = new_id()
        self.published = 0
        self._database = database
        self._kafka = kafka
        self._group = f"relay/{service}"
        self._names = [f"{topic}-{n}" for topic in topics_of(service) for n in range(TOPICS[topic])]
        self._shards: dict[str, _Shard] = {}
        self._cluster = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until stopped; a failed send or a lost database ends this run, and the supervisor begins another."""
        waker = waker_of(self._database.url)
        try:
            self._cluster = await cluster_id(self._kafka)
            async with self._producer() as producer:
                await self._relay(producer, stop, waker)
        finally:
            forget_waker(self._database.url, waker)
            self._shards.clear()
            # Without a database there is nothing to release: the leases expire.
            with contextlib.suppress(asyncpg.PostgresError, SQLAlchemyError, OSError, asyncpg.InterfaceError):
                async with self._database.transaction() as tx:
                    await release_leases(tx, group=self._group, owner=self.owner)

    def _producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **self._kafka.options(),
            enable_idempotence=True,
            acks="all",
            max_batch_size=256 * 1024,
            linger_ms=2,
            request_timeout_ms=10_000,
        )

    async def _relay(self, producer: AIOKafkaProducer, stop: asyncio.Event, waker: asyncio.Event) -> None:
        clock = asyncio.get_running_loop().time
        renew_at = from_zero_at = 0.0
        wait_s = _SHORTEST_POLL_S
        while not stop.is_set():
            if clock() >= renew_at:
                renew_at = clock() + _RENEW_S
                from_zero_at = self._move_floors(clock(), from_zero_at)
                await self._keep_leases()
            waker.clear()
            sent = await self._pass_on(producer)
            if sent:
                wait_s = _SHORTEST_POLL_S
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(waker.wait(), wait_s)
            wait_s = min(wait_s * 1.5, _LONGEST_POLL_S)

    def _move_floors(self, now: float, from_zero_at: float) -> float:
        """Poll from where each shard was a second ago; every 10 s from zero, for what committed later than that."""
        from_zero = now >= from_zero_at
        for shard in self._shards.values():
            shard.floor = 0 if from_zero else shard.reached
        return now + _FROM_ZERO_S if from_zero else from_zero_at

    async def _keep_leases(self) -> None:
        async with self._database.transaction() as tx:
            held = await keep_leases(tx, group=self._group, owner=self.owner, names=self._names, seconds=LEASE_S)
            taken = [name for name in held if name not in self._shards]
            acks = await tx.pg.fetch("SELECT * FROM relay_ack WHERE shard = ANY($1)", taken)
        await self._read_back(acks)
        known = self._shards
        self._shards = {
            name: known[name] if name in known and known[name].epoch == epoch else _Shard(epoch)
            for name, epoch in held.items()
        }

    async def _read_back(self, acks: Sequence[Any]) -> None:
        """Read the last acked record of each shard taken over; TopicLost when it is not there."""
        if not acks:
            return
        for ack in acks:
            if ack["cluster_id"] != self._cluster:
                raise TopicLost(shard=ack["shard"])
        consumer = AIOKafkaConsumer(**self._kafka.options(), auto_offset_reset="none")
        await consumer.start()
        try:
            wanted = {_partition(ack["shard"]): ack for ack in acks}
            ends = await consumer.end_offsets(list(wanted))
            for partition, ack in wanted.items():
                if ends[partition] <= ack["record_offset"]:
                    raise TopicLost(shard=ack["shard"])
            consumer.assign(list(wanted))
            for partition, ack in wanted.items():
                consumer.seek(partition, ack["record_offset"])
            while wanted:
                try:
                    record = await asyncio.wait_for(consumer.getone(*wanted), 15)
                except OffsetOutOfRangeError as error:
                    raise TopicLost(shard=ack["shard"]) from error
                partition = TopicPartition(record.topic, record.partition)
                ack = wanted.pop(partition)
                if dict(record.headers).get("ce_id") != ack["event_id"].encode():
                    raise TopicLost(shard=ack["shard"])
                consumer.pause(partition)
        finally:
            await consumer.stop()

    async def _pass_on(self, producer: AIOKafkaProducer) -> int:
        """Send what is pending, in order, wait for every ack, mark what was acked; return how many."""
        if not self._shards:
            return 0
        async with self._database.reader() as tx:
            floors = [shard.floor for shard in self._shards.values()]
            rows = await tx.pg.fetch(_READ, list(self._shards), floors, _BATCH)
        if not rows:
            return 0
        acks = [await self._send(producer, row) for row in rows]
        done = await asyncio.gather(*acks)
        last = {row["shard"]: (ack.offset, row["id"]) for row, ack in zip(rows, done, strict=True)}
        async with self._database.transaction() as tx:
            await tx.pg.execute("SET LOCAL synchronous_commit = off")
            await tx.pg.execute(
                _MARK,
                list(self._shards),
                [shard.epoch for shard in self._shards.values()],
                self.owner,
                [row["shard"] for row in rows],
                [row["position"] for row in rows],
                self._cluster,
                list(last),
                [offset for offset, _ in last.values()],
                [event_id for _, event_id in last.values()],
            )
        for row in rows:
            self._shards[row["shard"]].reached = max(self._shards[row["shard"]].reached, row["position"])
        self.published += len(rows)
        return len(rows)

    async def _send(self, producer: AIOKafkaProducer, row: Any) -> asyncio.Future[Any]:
        sent = Sent(
            id=row["id"],
            type=row["type"],
            source=row["source"],
            subject=row["subject"],
            sequence=row["sequence"],
            time=row["time"],
            traceparent=row["traceparent"],
        )
        future: asyncio.Future[Any] = await producer.send(
            row["topic"],
            row["body"].encode(),
            key=sent.subject.encode(),
            partition=_partition(row["shard"]).partition,
            headers=sent.headers(),
            timestamp_ms=int(sent.time.timestamp() * 1000),
        )
        return future


def _partition(shard: str) -> TopicPartition:
    topic, _, number = shard.rpartition("-")
    return TopicPartition(topic, int(number))
