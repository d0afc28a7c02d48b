"""Rebuild the read models: apply every topic, from its beginning, to an empty database (I7)."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.events.envelope import MalformedRecord
from shared.events.topics import TOPICS
from shared.messaging.applying import Handlers, apply_all
from shared.messaging.inbox_rows import read_arrival
from shared.messaging.kafka import Kafka
from shared.storage.database import Database

_BATCH = 500
_PATIENCE = 30
Offsets = Mapping[tuple[str, int], int]


class TopicsEndEarly(RuntimeError):
    """The topics do not give all the records that were applied once: lost, or the broker is away."""

    code: ClassVar[str] = "topics_end_early"

    def __init__(self, *, missing: int) -> None:
        """Keep how many are missing."""
        self.missing = missing
        super().__init__(f"{missing} records that were applied once did not come again.")


async def rebuild(
    database: Database,
    *,
    kafka: Kafka,
    handlers: Handlers,
    topics: Mapping[str, int] = TOPICS,
    until: Offsets | None = None,
    discarded: Collection[tuple[str, str, int, str]] = (),
) -> int:
    """Apply every record from offset zero up to `until` (without it: to the end) and return how many were applied.

    What was `discarded` (topic, subject, sequence and id of each) passes without an effect, as it did then.
    The database is migrated and empty. The handlers are those of the worker, in the worker's protocol of heads.
    """
    partitions = [TopicPartition(topic, nth) for topic, count in topics.items() for nth in range(count)]
    consumer = AIOKafkaConsumer(
        **kafka.options(), enable_auto_commit=False, auto_offset_reset="none", fetch_max_wait_ms=50
    )
    try:
        await consumer.start()
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        if until is not None:
            reached = {each: until.get((each.topic, each.partition), 0) for each in partitions}
            missing = sum(max(0, reached[each] - end) for each, end in ends.items())
            if missing:
                raise TopicsEndEarly(missing=missing)
            ends = reached
        return await _apply_until(database, consumer, ends, handlers, discarded)
    finally:
        await consumer.stop()


async def _apply_until(
    database: Database,
    consumer: Any,
    ends: Mapping[TopicPartition, int],
    handlers: Handlers,
    discarded: Collection[tuple[str, str, int, str]],
) -> int:
    applied = 0
    for partition in ends:
        consumer.seek(partition, 0)
    consumer.pause(*(each for each, end in ends.items() if end == 0))
    at = dict.fromkeys(ends, 0)
    patience = _PATIENCE
    while any(at[each] < end for each, end in ends.items()):
        fetched = await consumer.getmany(timeout_ms=1000, max_records=_BATCH)
        patience = _PATIENCE if fetched else patience - 1
        if not patience:
            raise TopicsEndEarly(missing=sum(end - at[each] for each, end in ends.items()))
        records: list[Any] = []
        for partition, batch in fetched.items():
            records += [record for record in batch if record.offset < ends[partition]]
            at[partition] = batch[-1].offset + 1
            if at[partition] >= ends[partition]:
                consumer.pause(partition)
        applied += await _apply(database, records, handlers, discarded)
    return applied


async def _apply(
    database: Database, records: Sequence[Any], handlers: Handlers, discarded: Collection[tuple[str, str, int, str]]
) -> int:
    if not records:
        return 0
    arrivals = []
    for record in records:
        headers, body = tuple(record.headers), record.value or b""
        # The live inbox parks what it cannot read: no state came of it.
        with contextlib.suppress(MalformedRecord):
            arrival = read_arrival(topic=record.topic, headers=headers, body=body)
            said = arrival.received
            passed = (said.topic, said.subject, said.sequence, said.id) in discarded
            arrivals.append(replace(arrival, discarded=True) if passed else arrival)
    async with database.transaction() as tx:
        outcome = await apply_all(tx, arrivals, handlers=handlers)
    return outcome.applied
