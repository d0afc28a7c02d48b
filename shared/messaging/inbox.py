"""The inbox: Kafka → effects, exactly once: effects, heads and offsets commit in one transaction."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from shared.events.envelope import EVENT_TYPES, MalformedRecord, Received
from shared.messaging import inbox_rows
from shared.messaging.applying import Handlers, Outcome, apply_all
from shared.messaging.inbox_rows import Arrival, Parked
from shared.messaging.kafka import Kafka
from shared.runtime.failpoints import reached
from shared.runtime.jobs import Unrecoverable, is_up
from shared.runtime.metrics import InboxMetrics
from shared.runtime.tracing import Attributes, together
from shared.storage.database import Database, Transaction

_BATCH = 1000
_POLL_MS = 200
# Long enough to wait for a member with a slow batch to join; a broker that vanished is given up after it.
_ANSWER_WITHIN_MS = 15_000
_SWEEP_S = 1.0
_MOST_FAILURES, _WITHIN_S = 20, 60.0
# A generic plan made on new tables would scan them whole as they grow; planning costs less than a batch gains.
_PLAN_EACH_BATCH = "SET LOCAL plan_cache_mode = force_custom_plan"
_log = structlog.get_logger()


class OffsetGone(Unrecoverable):
    """The topic no longer has the offset we are at: it was truncated, or this database restored."""

    code: ClassVar[str] = "offset_gone"

    def __init__(self, where: str) -> None:
        """Keep which offsets are gone, and say what an operator does."""
        self.where = where
        super().__init__(
            f"{where}: the topic has that offset no longer; look, then `tributary events republish` for its publisher."
        )


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
        self._has_joined = False
        self._kafka = kafka
        self._service = service
        self._group = f"scf.{service}"
        self._metrics = InboxMetrics(service=service, group=self._group)

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
            request_timeout_ms=_ANSWER_WITHIN_MS,
        )
        consumer.subscribe(self._topics, listener=_Seek(self))
        clock = asyncio.get_running_loop().time
        sweep_at = 0.0
        try:
            await consumer.start()
            while not stop.is_set():
                records = await self._fetch()
                if self._has_joined:
                    is_up()
                if records and await self._take(records):
                    await self._drain()
                if clock() >= sweep_at:
                    sweep_at = clock() + _SWEEP_S
                    await self._drain()
                    await self._follow()
                    await self._show_lag()
        except OffsetOutOfRangeError as error:
            where = ", ".join(f"{each.topic}-{each.partition} at {at}" for each, at in error.args[0].items())
            raise OffsetGone(where) from error
        finally:
            self._metrics.show_lag({})
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

    async def begin(self, partitions: Sequence[TopicPartition]) -> None:
        """Begin with a new assignment, should it be none because others have all."""
        await self.seek(partitions)
        self._has_joined = True

    async def seek(self, partitions: Sequence[TopicPartition]) -> None:
        """Go to where our own database says we are; Kafka's copy only shows the lag."""
        async with self._database.reader() as tx:
            known = await inbox_rows.offsets(tx)
        mine = self._consumer.assignment()
        for partition in partitions:
            # A rebalance may have taken it away since it was fetched.
            if partition in mine:
                self._positions[partition] = known.get(partition, 0)
                self._consumer.seek(partition, self._positions[partition])

    async def _follow(self) -> None:
        """Go where the database says we are, should it say another place than before: it was restored from a backup."""
        async with self._database.reader() as tx:
            known = await inbox_rows.offsets(tx)
        moved = [each for each in self._consumer.assignment() if known.get(each, 0) != self._positions.get(each)]
        if moved:
            await self.seek(moved)

    async def _take(self, records: Mapping[TopicPartition, Sequence[Any]]) -> bool:
        """Apply a batch of records in one transaction; return whether a head moved that something may wait for."""
        reached("inbox.fetched")
        began = time.perf_counter()
        async with self._database.transaction() as tx:
            await tx.pg.execute(_PLAN_EACH_BATCH)
            current = await inbox_rows.lock_offsets(tx, partitions=records)
            # Another member that consumed meanwhile has moved it: what we fetched is dropped.
            mine = {partition: batch for partition, batch in records.items() if batch[0].offset == current[partition]}
            outcome = await self._apply(tx, [record for batch in mine.values() for record in batch])
            following = {partition: batch[-1].offset + 1 for partition, batch in mine.items()}
            is_any_parked = await inbox_rows.save_offsets(
                tx, following=following, applied=outcome.applied, duplicates=outcome.duplicates
            )
            reached("inbox.applied")
        reached("inbox.committed")
        self._metrics.took_s(time.perf_counter() - began)
        self._show_batch(mine)
        self._positions |= following
        dropped = [partition for partition in records if partition not in mine]
        if dropped:
            await self.seek(dropped)
        self._count(outcome)
        return is_any_parked and bool(outcome.advanced)

    async def _apply(self, tx: Transaction, records: Sequence[Any]) -> Outcome:
        arrivals, strays = _read(records)
        outcome = await self._apply_all(tx, arrivals, "consume") if arrivals else Outcome()
        await inbox_rows.park(tx, parked=strays)
        outcome.parked += strays
        return outcome

    async def _apply_all(self, tx: Transaction, arrivals: Sequence[Arrival], name: str) -> Outcome:
        traceparents = [arrival.received.traceparent for arrival in arrivals]
        facts: Attributes = {"messaging.system": "kafka", "messaging.batch.message_count": len(arrivals)}
        with together(name, traceparents, service=self._service, kind="consumer", attributes=facts):
            return await apply_all(tx, arrivals, handlers=self._handlers, may_fail=_MOST_FAILURES - self._failed())

    async def _drain(self) -> None:
        """Apply parked events whose turn has come, as long as that moves anything."""
        moved = True
        while moved:
            moved, after = False, ("", "", 0)
            while arrivals := await self._due(after):
                last = arrivals[-1].received
                after = (last.topic, last.subject, last.sequence)
                moved |= await self._apply_due(arrivals)

    async def _due(self, after: tuple[str, str, int]) -> list[Arrival]:
        async with self._database.reader() as tx:
            return await inbox_rows.due(tx, known_types=EVENT_TYPES, after=after)

    async def _apply_due(self, arrivals: Sequence[Arrival]) -> bool:
        """Apply a page of parked events; whoever drained them meanwhile has moved their heads, and they are copies."""
        async with self._database.transaction() as tx:
            await tx.pg.execute(_PLAN_EACH_BATCH)
            outcome = await self._apply_all(tx, arrivals, "drain")
            await inbox_rows.forget(tx, parked_ids=outcome.done)
            reached("drain.applied")
        self._count(outcome)
        return bool(outcome.advanced)

    def _count(self, outcome: Outcome) -> None:
        self.consumed += outcome.applied
        self.duplicates += outcome.duplicates
        self._metrics.count(applied=outcome.applied, duplicates=outcome.duplicates, failures=outcome.failures)
        for each in outcome.parked:
            self._metrics.parked(each.reason)
        self._failures.extend([asyncio.get_running_loop().time()] * outcome.failures)

    def _failed(self) -> int:
        """Return how many events could not be handled in the last minute."""
        since = asyncio.get_running_loop().time() - _WITHIN_S
        while self._failures and self._failures[0] < since:
            self._failures.popleft()
        return len(self._failures)

    def _show_batch(self, batches: Mapping[TopicPartition, Sequence[Any]]) -> None:
        records = [record for batch in batches.values() for record in batch]
        if records:
            self._metrics.batch(len(records))
            self._metrics.age_s(max(0.0, time.time() - min(batch[0].timestamp for batch in batches.values()) / 1000))

    async def _show_lag(self) -> None:
        mine = self._consumer.assignment()
        offsets = {partition: at for partition, at in self._positions.items() if partition in mine}
        ends = {partition: self._consumer.highwater(partition) for partition in offsets}
        self._metrics.show_lag(
            {tuple(partition): max(0, end - offsets[partition]) for partition, end in ends.items() if end is not None}
        )
        if offsets:
            # Only for whoever looks at the lag in Kafka's tools; ours are in the database.
            with contextlib.suppress(KafkaError):
                await self._consumer.commit(offsets)
            reached("inbox.shown")


class _Seek(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka ships no types
    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        pass

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        await self._inbox.begin(list(assigned))


def _read(records: Sequence[Any]) -> tuple[list[Arrival], list[Parked]]:
    """Return what has an envelope, and the strays that have none: they belong to no aggregate."""
    arrivals, strays = [], []
    for record in records:
        headers, body = tuple(record.headers), record.value or b""
        try:
            arrivals.append(inbox_rows.read_arrival(topic=record.topic, headers=headers, body=body))
        except MalformedRecord as error:
            strays.append(Parked(Arrival(_stray(record), headers, body), "malformed", str(error)))
    return arrivals, strays


def _stray(record: Any) -> Received:
    return Received(
        id=f"{record.topic}-{record.partition}-{record.offset}",
        type="?",
        topic=record.topic,
        subject=(record.key or b"").decode("utf-8", "replace").replace("\x00", "\ufffd"),
        sequence=0,
        time=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        source="?",
        traceparent=None,
        event=None,
    )
