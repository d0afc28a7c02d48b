"""The inbox: Kafka → effects, exactly once: effects, heads and offsets commit in one transaction."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from shared.events.envelope import EVENT_TYPES, MalformedRecord, Received, read_record
from shared.messaging.applying import Arrival, Handlers, Outcome, Parked, apply_all, lock_heads, park
from shared.messaging.kafka import Kafka
from shared.runtime.jobs import Unrecoverable
from shared.storage.database import Database, Transaction

_BATCH = 1000
_POLL_MS = 200
_SWEEP_S = 1.0
_MOST_FAILURES, _WITHIN_S = 20, 60.0
# A generic plan made on new tables would scan them whole as they grow; planning costs less than a batch gains.
_PLAN_EACH_BATCH = "SET LOCAL plan_cache_mode = force_custom_plan"
_log = structlog.get_logger()


class OffsetGone(Unrecoverable):
    """The topic no longer has the offset we are at: it was truncated, or this database restored."""

    code: ClassVar[str] = "offset_gone"


class TooManyFailures(Unrecoverable):
    """More than 20 handler failures in a minute: a bad release must not park everything."""

    code: ClassVar[str] = "too_many_failures"


class Inbox:
    """One service's consumer in one process; several share the load by partition."""

    def __init__(
        self, database: Database, *, kafka: Kafka, service: str, handlers: Handlers, topics: Sequence[str]
    ) -> None:
        """Prepare an inbox that gives events of these topics to the handlers of their types."""
        self.consumed = 0
        self.duplicates = 0
        self._database = database
        self._handlers = handlers
        self._topics = list(topics)
        self._positions: dict[TopicPartition, int] = {}
        self._failures: deque[float] = deque()
        self._kafka = kafka
        self._group = f"scf.{service}"

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until stopped; what fails here ends this run, and the supervisor begins another."""
        self._consumer = consumer = AIOKafkaConsumer(
            **self._kafka.options(),
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_poll_records=_BATCH,
            fetch_max_wait_ms=100,
            session_timeout_ms=10_000,
            heartbeat_interval_ms=1_000,
        )
        consumer.subscribe(self._topics, listener=_Seek(self))
        clock = asyncio.get_running_loop().time
        sweep_at = 0.0
        try:
            await consumer.start()
            while not stop.is_set():
                records = await self._fetch()
                moved = bool(records) and await self._take(records)
                if moved or clock() >= sweep_at:
                    sweep_at = clock() + _SWEEP_S
                    await self._drain()
                    await self._show_lag()
        except OffsetOutOfRangeError as error:
            message = "the topic no longer has our offset; look, then rebuild from the publisher's outbox"
            raise OffsetGone(message) from error
        finally:
            await consumer.stop()

    async def _fetch(self) -> Mapping[TopicPartition, Sequence[Any]]:
        try:
            records: Mapping[TopicPartition, Sequence[Any]]
            records = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_BATCH)
        except NoOffsetForPartitionError:
            # The fetcher may ask Kafka for an offset before our seek of a new assignment has come through.
            await self.seek(list(self._consumer.assignment()))
            return {}
        return records

    async def seek(self, partitions: Sequence[TopicPartition]) -> None:
        """Go to where our own database says we are; Kafka's copy only shows the lag."""
        async with self._database.reader() as tx:
            rows = await tx.pg.fetch("SELECT topic, partition, next_offset FROM inbox_offset")
        known = {TopicPartition(row["topic"], row["partition"]): row["next_offset"] for row in rows}
        for partition in partitions:
            self._positions[partition] = known.get(partition, 0)
            self._consumer.seek(partition, self._positions[partition])

    async def _take(self, records: Mapping[TopicPartition, Sequence[Any]]) -> bool:
        """Apply a batch of records in one transaction; return whether any head moved."""
        stale: list[TopicPartition] = []
        async with self._database.transaction() as tx:
            await tx.pg.execute(_PLAN_EACH_BATCH)
            current = await self._lock_offsets(tx, list(records))
            stale = [partition for partition, batch in records.items() if batch[0].offset != current[partition]]
            mine = {partition: batch for partition, batch in records.items() if partition not in stale}
            outcome = await self._apply(tx, [record for batch in mine.values() for record in batch])
            following = {partition: batch[-1].offset + 1 for partition, batch in mine.items()}
            await _save_offsets(tx, following, outcome)
        self._positions |= following
        await self.seek(stale)
        self._count(outcome)
        return bool(outcome.advanced)

    async def _lock_offsets(self, tx: Transaction, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Lock where we are; another member that consumed meanwhile has moved it, and we drop what we fetched."""
        names = sorted(partitions)
        topics, numbers = [each.topic for each in names], [each.partition for each in names]
        await tx.pg.execute(
            """INSERT INTO inbox_offset (topic, partition, next_offset) SELECT topic, partition, 0
            FROM unnest($1::text[], $2::int[]) AS n(topic, partition) ORDER BY 1, 2 ON CONFLICT DO NOTHING""",
            topics,
            numbers,
        )
        rows = await tx.pg.fetch(
            """SELECT o.topic, o.partition, o.next_offset FROM inbox_offset o
            JOIN unnest($1::text[], $2::int[]) AS n(topic, partition) USING (topic, partition)
            ORDER BY 1, 2 FOR UPDATE OF o""",
            topics,
            numbers,
        )
        return {TopicPartition(row["topic"], row["partition"]): row["next_offset"] for row in rows}

    async def _apply(self, tx: Transaction, records: Sequence[Any]) -> Outcome:
        arrivals, malformed = _read(records)
        if not arrivals:
            await park(tx, malformed)
            return Outcome(parked=malformed)
        heads = await lock_heads(tx, [arrival.aggregate for arrival in arrivals])
        outcome = await apply_all(tx, arrivals, heads=heads, handlers=self._handlers)
        await park(tx, malformed)
        outcome.parked += malformed
        return outcome

    async def _drain(self) -> None:
        """Apply parked events whose turn has come, as long as that moves anything."""
        while True:
            async with self._database.transaction() as tx:
                await tx.pg.execute(_PLAN_EACH_BATCH)
                rows = await tx.pg.fetch(
                    """SELECT p.* FROM inbox_parked p JOIN inbox_head h USING (topic, subject)
                    WHERE p.sequence <= h.sequence + 1
                        AND (p.reason IN ('gap', 'waits') OR p.reason = 'unknown_type' AND p.type = ANY($1))
                    ORDER BY p.topic, p.subject, p.sequence LIMIT 500""",
                    list(EVENT_TYPES),
                )
                if not rows:
                    return
                arrivals = [_unpark(row) for row in rows]
                heads = await lock_heads(tx, [arrival.aggregate for arrival in arrivals])
                outcome = await apply_all(tx, arrivals, heads=heads, handlers=self._handlers)
                await tx.pg.execute("DELETE FROM inbox_parked WHERE parked_id = ANY($1)", outcome.done)
            self._count(outcome)
            if not outcome.advanced:
                return

    def _count(self, outcome: Outcome) -> None:
        self.consumed += outcome.applied
        self.duplicates += outcome.duplicates
        now = asyncio.get_running_loop().time()
        self._failures.extend([now] * outcome.failures)
        while self._failures and self._failures[0] < now - _WITHIN_S:
            self._failures.popleft()
        if len(self._failures) > _MOST_FAILURES:
            message = f"{len(self._failures)} events could not be handled within a minute"
            raise TooManyFailures(message)

    async def _show_lag(self) -> None:
        mine = self._consumer.assignment()
        offsets = {partition: at for partition, at in self._positions.items() if partition in mine}
        if offsets:
            # Only for whoever looks at the lag in Kafka's tools; ours are in the database.
            with contextlib.suppress(KafkaError):
                await self._consumer.commit(offsets)


class _Seek(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka ships no types
    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        pass

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        await self._inbox.seek(list(assigned))


async def _save_offsets(tx: Transaction, following: Mapping[TopicPartition, int], outcome: Outcome) -> None:
    names = sorted(following)
    await tx.pg.execute(
        """UPDATE inbox_offset o SET next_offset = n.next_offset
        FROM unnest($1::text[], $2::int[], $3::bigint[]) AS n(topic, partition, next_offset)
        WHERE (o.topic, o.partition) = (n.topic, n.partition)""",
        [each.topic for each in names],
        [each.partition for each in names],
        [following[each] for each in names],
    )
    if names:
        await tx.pg.execute(
            """INSERT INTO inbox_stats AS s (topic, partition, consumed, duplicates) VALUES ($1, $2, $3, $4)
            ON CONFLICT (topic, partition) DO UPDATE SET consumed = s.consumed + excluded.consumed,
                duplicates = s.duplicates + excluded.duplicates""",
            names[0].topic,
            names[0].partition,
            outcome.applied,
            outcome.duplicates,
        )


def _read(records: Sequence[Any]) -> tuple[list[Arrival], list[Parked]]:
    arrivals, malformed = [], []
    for record in records:
        headers = tuple(record.headers)
        try:
            received = read_record(topic=record.topic, headers=headers, body=record.value or b"")
            arrivals.append(Arrival(received, headers, record.value or b""))
        except MalformedRecord as error:
            malformed.append(
                Parked(Arrival(_unreadable(record), headers, record.value or b""), "malformed", str(error))
            )
    return arrivals, malformed


def _unreadable(record: Any) -> Received:
    return Received(
        id=f"{record.topic}-{record.partition}-{record.offset}",
        type="?",
        topic=record.topic,
        subject=(record.key or b"").decode("utf-8", "replace"),
        sequence=0,
        time=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        source="?",
        traceparent=None,
        event=None,
    )


def _unpark(row: Any) -> Arrival:
    headers = tuple((name, value.encode("latin-1")) for name, value in row["headers"])
    received = read_record(topic=row["topic"], headers=headers, body=row["body"])
    return Arrival(received, headers, row["body"], row["parked_id"])
