"""A model of what the protocol uses of Kafka's logs and producers: idempotent sessions, lost acks, lost tails.

A session's batches reach a partition in the order in which they were sent; after one that failed, later ones are
refused as out of sequence. A failed send is ambiguous: the record is there, or it is not.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple, Protocol

from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, OutOfOrderSequenceNumber

from tests.properties.simulation.loop import Killed, Process, SimLoop, current, one_step

_SOON_S, _LATE_S = 0.004, 3.0
_RETRY_S = 0.2
_GIVES_UP_S = 1.0
_MOST_IN_A_BATCH = 4
Headers = Sequence[tuple[str, bytes]]


class Faults(Protocol):
    """What the broker asks of the run's faults, each time it could happen."""

    def send(self) -> str: ...


class Record(NamedTuple):
    """A record as a consumer gets it."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    timestamp: int

    @property
    def event_id(self) -> str:
        return dict(self.headers)["ce_id"].decode()


class Acked(NamedTuple):
    """What a producer's future holds."""

    offset: int


class ModelBatch:
    """What the relay takes for aiokafka's BatchBuilder: full after a few records."""

    def __init__(self, room: int) -> None:
        self.records: list[tuple[bytes, bytes, Headers, int]] = []
        self._room = room

    def append(self, *, key: bytes, value: bytes, headers: Headers, timestamp: int) -> object | None:
        if len(self.records) == self._room:
            return None
        self.records.append((key, value, headers, timestamp))
        return self


@dataclass(slots=True)
class _Batch:
    partition: TopicPartition
    records: list[tuple[bytes, bytes, Headers, int]]
    ack: asyncio.Future[Acked]
    first: int
    fate: str


class Broker:
    """The cluster: logs, and what it knows of producers."""

    def __init__(self, loop: SimLoop, *, topics: dict[str, int], faults: Faults, hits: Counter[str]) -> None:
        self.loop = loop
        self.random: Random = loop.random
        self.faults = faults
        self.hits = hits
        self.cluster = "c1"
        self.up = True
        self.logs: dict[TopicPartition, list[Record]] = {
            TopicPartition(topic, n): [] for topic, count in topics.items() for n in range(count)
        }
        self.on_append: list[Callable[[], None]] = []
        self.groups: dict[str, Any] = {}
        # Every record there ever was, whatever became of it.
        self.ever: set[str] = set()
        self.forgetful = False
        self._sessions = 0
        # Who appended which record, so that a lost tail takes the producers' state with it.
        self._by: dict[TopicPartition, list[tuple[int, int]]] = {partition: [] for partition in self.logs}

    def options(self) -> dict[str, Any]:
        """Return what clients are made with (`Kafka.options`)."""
        return {"broker": self}

    def new_session(self) -> int:
        self._sessions += 1
        return self._sessions

    def delay(self) -> float:
        return self.random.random() * _SOON_S

    def check_up(self) -> None:
        if not self.up:
            raise KafkaConnectionError("the broker is away")

    def append(self, session: int, batch: _Batch) -> int | None:
        """Append a batch; return its first offset, None when it is out of its session's sequence."""
        log, by = self.logs[batch.partition], self._by[batch.partition]
        following = next((sequence + 1 for pid, sequence in reversed(by) if pid == session), None)
        if following is None and self.forgetful:
            # Kafka takes any number from a session of which it has lost every record.
            following = batch.first
        if batch.first != (following or 0):
            return None
        first = len(log)
        for nth, (key, value, headers, at) in enumerate(batch.records):
            log.append(Record(batch.partition.topic, batch.partition.partition, first + nth, key, value, headers, at))
            by.append((session, batch.first + nth))
            self.ever.add(log[-1].event_id)
        self.announce()
        return first

    def announce(self) -> None:
        for callback in list(self.on_append):
            callback()

    def lose_tail(self, partition: TopicPartition, *, many: int) -> None:
        """Lose the last records of a partition: what a broker without its disk's last minutes does."""
        del self.logs[partition][-many:], self._by[partition][-many:]
        self.forgetful = True

    def come_back(self) -> None:
        self.up = True
        self.announce()


class ModelProducer:
    """What the relay takes for AIOKafkaProducer."""

    def __init__(self, *, broker: Broker, enable_idempotence: bool, acks: str, **_: Any) -> None:
        if not enable_idempotence or acks != "all":
            raise AssertionError("the model knows the idempotent producer with acks=all only")
        self._broker = broker
        self._loop = broker.loop
        self._process: Process = current()
        self._session = broker.new_session()
        self._sequences: Counter[TopicPartition] = Counter()
        self._waiting: dict[TopicPartition, list[tuple[ModelBatch, asyncio.Future[Acked]]]] = {}
        self._under_way: dict[TopicPartition, _Batch] = {}
        self._refused = False
        self._closed = False
        self._idle: asyncio.Future[None] | None = None

    async def start(self) -> None:
        await one_step()
        self._broker.check_up()

    async def stop(self) -> None:
        """Stop as aiokafka does: what was given to it is sent first, however long the broker is away."""
        if self._loop.ended or not self._process.alive:
            raise Killed
        while self._waiting or self._under_way:
            self._idle = self._loop.create_future()
            await self._idle

    def give_up(self) -> None:
        """Close the sockets: what is not at the broker yet may still come there, or never."""
        self._closed = True
        self._waiting.clear()

    def create_batch(self) -> ModelBatch:
        return ModelBatch(self._broker.random.randint(1, _MOST_IN_A_BATCH))

    async def send_batch(self, batch: ModelBatch, topic: str, *, partition: int) -> asyncio.Future[Acked]:
        if self._broker.random.random() < 0.25:
            # The batch before is not on the wire yet, or the topic's metadata is old.
            await one_step()
        if self._refused:
            raise OutOfOrderSequenceNumber("the producer is of no use any more")
        where = TopicPartition(topic, partition)
        future = self._loop.create_future()
        waiting = self._waiting.setdefault(where, [])
        waiting.append((batch, future))
        if len(waiting) == 1:
            self._later(self._drain, where)
        return future

    def _later(self, callback: Callable[..., None], *args: Any, delay: float | None = None) -> None:
        delay = self._broker.delay() if delay is None else delay
        self._loop.call_later(delay, callback, *args, context=self._process.context)

    def _drain(self, partition: TopicPartition) -> None:
        """Put what waits for a partition on the wire, one batch at a time."""
        waiting = self._waiting.get(partition)
        if not waiting or partition in self._under_way:
            return
        given, ack = waiting.pop(0)
        batch = _Batch(partition, given.records, ack, self._sequences[partition], self._broker.faults.send())
        if not waiting:
            del self._waiting[partition]
        self._sequences[partition] += len(batch.records)
        self._under_way[partition] = batch
        self._loop.in_world(self._broker.delay(), self._arrive, batch)

    def _arrive(self, batch: _Batch) -> None:
        """Arrive at the broker, whatever became of the sender meanwhile (its socket may have died with it)."""
        broker = self._broker
        if (self._closed or not self._process.alive) and broker.random.random() < 0.5:
            return
        if not broker.up:
            self._loop.in_world(_RETRY_S, self._arrive, batch)
            return
        if batch.fate == "lost before":
            broker.hits["ambiguous send: not there"] += 1
            self._later(self._failed, batch, KafkaTimeoutError())
            return
        first = broker.append(self._session, batch)
        if first is None:
            broker.hits["out of sequence refused"] += 1
            self._later(self._failed, batch, OutOfOrderSequenceNumber())
        elif batch.fate == "lost after":
            broker.hits["ambiguous send: there"] += 1
            self._later(self._failed, batch, KafkaTimeoutError())
        else:
            late = batch.fate == "late"
            broker.hits["late ack"] += late
            self._later(self._acked, batch, first, delay=broker.random.random() * _LATE_S if late else None)

    def _acked(self, batch: _Batch, first: int) -> None:
        if not batch.ack.done():
            batch.ack.set_result(Acked(first))
        self._next(batch.partition)

    def _failed(self, batch: _Batch, error: Exception) -> None:
        failing = [batch.ack]
        if isinstance(error, OutOfOrderSequenceNumber):
            self._refused = True
            failing += [ack for waiting in self._waiting.values() for _, ack in waiting]
            self._waiting.clear()
        for future in failing:
            if not future.done():
                future.set_exception(error)
                future.exception()
        self._next(batch.partition)

    def _next(self, partition: TopicPartition) -> None:
        del self._under_way[partition]
        self._drain(partition)
        if not self._waiting and not self._under_way and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)


async def end(producer: ModelProducer) -> None:
    """Stop a producer within a second (`shared.messaging.relay._end`, which reaches into aiokafka)."""
    try:
        await asyncio.wait_for(producer.stop(), _GIVES_UP_S)
    except TimeoutError:
        producer.give_up()


async def cluster_id(broker: Broker) -> str:
    """Return the id of the cluster (`shared.messaging.kafka.cluster_id`)."""
    await one_step()
    broker.check_up()
    return broker.cluster
