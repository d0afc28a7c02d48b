"""Reading the topics from their beginning to the ends that were captured, without a group and in bounded memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.events.topics import TOPICS
from shared.messaging.kafka import Kafka

_BATCH = 2_000


async def ends_of(kafka: Kafka) -> dict[TopicPartition, int]:
    """Return where every partition of the platform's topics ends now; a topic that is not there has none."""
    async with _consumer(kafka) as consumer:
        there = set(await consumer.topics())
        wanted = [TopicPartition(topic, n) for topic, many in TOPICS.items() if topic in there for n in range(many)]
        if not wanted:
            return {}
        # Assigned first: otherwise the client learns of one topic after another, 100 ms each.
        consumer.assign(wanted)
        ends: dict[TopicPartition, int] = await consumer.end_offsets(wanted)
    return ends


async def records_of(
    kafka: Kafka, ends: Mapping[TopicPartition, int], *, topics: Sequence[str]
) -> AsyncIterator[Sequence[Any]]:
    """Yield the records of some topics in batches, each partition in its order, up to the captured ends."""
    chosen = [partition for partition, end in ends.items() if partition.topic in topics and end > 0]
    if not chosen:
        return
    async with _consumer(kafka) as consumer:
        consumer.assign(chosen)
        begins = await consumer.beginning_offsets(chosen)
        left = {partition for partition in chosen if ends[partition] > begins[partition]}
        consumer.assign(sorted(left))
        for partition in left:
            consumer.seek(partition, begins[partition])
        while left:
            batches = await consumer.getmany(timeout_ms=1_000, max_records=_BATCH)
            for partition, batch in batches.items():
                end = ends[partition]
                inside = [record for record in batch if record.offset < end]
                if inside and partition in left:
                    yield inside
            for partition in [each for each in left if await consumer.position(each) >= ends[each]]:
                left.discard(partition)
                consumer.pause(partition)


async def waiting_from(
    kafka: Kafka, ends: Mapping[TopicPartition, int], *, reached: Mapping[tuple[str, int], int]
) -> dict[TopicPartition, datetime]:
    """Return, for each partition that goes on beyond what was reached, when its first waiting record was written."""
    begins = {partition: reached.get((partition.topic, partition.partition), 0) for partition in ends}
    behind = {partition for partition, end in ends.items() if end > begins[partition]}
    found: dict[TopicPartition, datetime] = {}
    if not behind:
        return found
    async with _consumer(kafka) as consumer:
        consumer.assign(sorted(behind))
        for partition in behind:
            consumer.seek(partition, begins[partition])
        while behind:
            record = await consumer.getone(*behind)
            partition = TopicPartition(record.topic, record.partition)
            found[partition] = datetime.fromtimestamp(record.timestamp / 1000, UTC)
            behind.discard(partition)
            consumer.pause(partition)
    return found


@asynccontextmanager
async def _consumer(kafka: Kafka) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        **kafka.options(), enable_auto_commit=False, auto_offset_reset="none", fetch_max_wait_ms=50
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


class Place(Enum):
    """How a sequence stands to those of its aggregate that came before it."""

    NEXT = "next"
    COPY = "copy"
    AHEAD = "ahead"
    LATE = "late"


@dataclass(slots=True)
class Sequences:
    """The sequences of one aggregate that were seen: all up to `upto`, and strays beyond."""

    upto: int = 0
    beyond: set[int] = field(default_factory=set)

    def see(self, sequence: int) -> Place:
        """Take a sequence in; one gap is noticed once, not again by all that follow it."""
        if sequence in self:
            return Place.COPY
        if sequence == self.upto + 1:
            place = Place.LATE if self.beyond else Place.NEXT
            self.upto = sequence
            while self.upto + 1 in self.beyond:
                self.upto += 1
                self.beyond.discard(self.upto)
            return place
        place = Place.NEXT if sequence - 1 in self.beyond and sequence > max(self.beyond) else Place.AHEAD
        self.beyond.add(sequence)
        return place

    def __contains__(self, sequence: int) -> bool:
        """Return whether the sequence was seen."""
        return sequence <= self.upto or sequence in self.beyond
