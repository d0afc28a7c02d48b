"""Reading back what a topic holds, before a relay sends anything more to it.

The record of the last ack must be where it was, and every record after it must be a row of the outbox: a send whose
answer was lost is one; a record that the outbox does not know means that the database is older than what it published.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from shared.messaging import relay_rows
from shared.messaging.kafka import Kafka
from shared.messaging.relay_rows import OnTopic
from shared.runtime.jobs import Unrecoverable
from shared.storage.database import Database

# One pass reads about this many records, a fraction of what a lease lasts; the next goes on where it ended.
_MOST, _PAGE = 20_000, 2_000
_WAIT_S = 15.0
_log = structlog.get_logger()


class TopicLost(Unrecoverable):
    """The last acked record is not where it was: the topic was truncated, made again, or is another cluster's."""

    code: ClassVar[str] = "topic_lost"

    def __init__(self, *, shard: str) -> None:
        """Keep the shard, and say what an operator does."""
        self.shard = shard
        super().__init__(f"{shard}: the last acked record is gone; look, then run `tributary events republish`.")


class OutboxBehind(Unrecoverable):
    """The topic has a record that the outbox does not know: the database was restored from an older backup."""

    code: ClassVar[str] = "outbox_behind"

    def __init__(self, *, shard: str, record: OnTopic) -> None:
        """Keep the shard and the first such record, and say what an operator does."""
        self.shard = shard
        self.record = record
        super().__init__(
            f"{shard}: the topic holds {record.subject} #{record.sequence} ({record.id}), which this outbox does not "
            "know: the database is older than what it published. Restore it up to its last commit; if that is lost, "
            "run `tributary events adopt`."
        )


@dataclass(slots=True)
class ReadBack:
    """What one pass found: shards read to their end with the offset reached, and records of ours beyond the acks."""

    whole: dict[str, int] = field(default_factory=dict)
    beyond: dict[str, tuple[int, str]] = field(default_factory=dict)


@dataclass(slots=True)
class _Reading:
    shard: str
    following: int
    end: int
    acked_id: str | None


async def read_back(database: Database, *, kafka: Kafka, cluster: str, shards: Sequence[str]) -> ReadBack:
    """Read each shard's topic from its last ack on; TopicLost or OutboxBehind when it is not as we left it."""
    found = ReadBack()
    if not shards:
        return found
    async with database.reader() as tx:
        acks = {ack["shard"]: ack for ack in await relay_rows.last_acks(tx, shards=shards)}
    for shard, ack in acks.items():
        if ack["cluster_id"] != cluster:
            raise TopicLost(shard=shard)
    consumer = AIOKafkaConsumer(**kafka.options(), auto_offset_reset="none", enable_auto_commit=False)
    try:
        await consumer.start()
        readings = await _readings(consumer, shards, acks)
        found.whole |= {shard: -1 for shard in shards if shard not in {each.shard for each in readings.values()}}
        await _read(consumer, database, readings, found)
    finally:
        await consumer.stop()
    return found


async def _readings(
    consumer: AIOKafkaConsumer, shards: Sequence[str], acks: dict[str, Any]
) -> dict[TopicPartition, _Reading]:
    """Return from where to where each partition that exists is read; without an ack, from its start."""
    existing = await consumer.topics()
    partitions = {partition_of_shard(shard): shard for shard in shards}
    for partition, shard in list(partitions.items()):
        if partition.topic not in existing:
            del partitions[partition]
            if shard in acks:
                raise TopicLost(shard=shard)
    starts = await consumer.beginning_offsets([each for each, shard in partitions.items() if shard not in acks])
    ends = await consumer.end_offsets(list(partitions))
    readings = {}
    for partition, shard in partitions.items():
        ack = acks.get(shard)
        if ack is None:
            readings[partition] = _Reading(shard, starts[partition], ends[partition], None)
        elif ends[partition] <= ack["record_offset"]:
            raise TopicLost(shard=shard)
        else:
            readings[partition] = _Reading(shard, ack["record_offset"], ends[partition], ack["event_id"])
    return readings


async def _read(
    consumer: AIOKafkaConsumer, database: Database, readings: dict[TopicPartition, _Reading], found: ReadBack
) -> None:
    _finish(readings, readings, found)
    consumer.assign(list(readings))
    for partition, reading in readings.items():
        consumer.seek(partition, reading.following)
    read = 0
    while readings and not (read >= _MOST and all(each.shard in found.beyond for each in readings.values())):
        try:
            batches = await consumer.getmany(*readings, timeout_ms=int(_WAIT_S * 1000), max_records=_PAGE)
        except OffsetOutOfRangeError as error:
            raise TopicLost(shard=", ".join(each.shard for each in readings.values())) from error
        if not batches:
            message = f"no record within {_WAIT_S:.0f} s of {', '.join(each.shard for each in readings.values())}"
            raise TimeoutError(message)
        await _recognise(database, batches, readings, found)
        read += sum(len(batch) for batch in batches.values())
        _finish(list(batches), readings, found)


async def _recognise(
    database: Database,
    batches: dict[TopicPartition, list[Any]],
    readings: dict[TopicPartition, _Reading],
    found: ReadBack,
) -> None:
    """Find each record in the outbox; OutboxBehind when one is not there."""
    ours: list[tuple[_Reading, OnTopic]] = []
    for partition, batch in batches.items():
        reading = readings[partition]
        for record in batch:
            seen = on_topic(record)
            if reading.acked_id is not None:
                if seen is None or seen.id != reading.acked_id:
                    raise TopicLost(shard=reading.shard)
                reading.acked_id = None
            elif seen is not None:
                ours.append((reading, seen))
                found.beyond[reading.shard] = record.offset, seen.id
            else:
                # Nothing of ours can be mistaken for it; consumers park it.
                _log.error("foreign record", topic=record.topic, partition=record.partition, offset=record.offset)
            reading.following = record.offset + 1
    if ours:
        async with database.reader() as tx:
            unknown = await relay_rows.first_unknown(tx, records=[seen for _, seen in ours])
        if unknown is not None:
            raise OutboxBehind(shard=ours[unknown][0].shard, record=ours[unknown][1])


def _finish(partitions: Collection[TopicPartition], readings: dict[TopicPartition, _Reading], found: ReadBack) -> None:
    for partition in list(partitions):
        reading = readings[partition]
        if reading.following >= reading.end:
            found.whole[reading.shard] = reading.end - 1
            del readings[partition]


def partition_of_shard(shard: str) -> TopicPartition:
    """Return the partition that a shard of the outbox is."""
    topic, _, number = shard.rpartition("-")
    return TopicPartition(topic, int(number))


def on_topic(record: Any) -> OnTopic | None:
    """Return which row of an outbox a record says it is; None when it carries no envelope."""
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    try:
        sequence = int(headers["ce_sequence"])
        return OnTopic(topic=record.topic, subject=headers["ce_subject"], sequence=sequence, id=headers["ce_id"])
    except (KeyError, ValueError):
        return None
