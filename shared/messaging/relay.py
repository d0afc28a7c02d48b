"""The relay: pending outbox rows → Kafka, in order per aggregate, each at least once and marked only when acked.

One owner a shard (lease and epoch). The epoch fences marks, not sends: a send whose answer was lost may come twice,
and consumers skip the copy. One task sends everything: concurrent senders reorder in an outage.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import asyncpg
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError
from sqlalchemy.exc import SQLAlchemyError

from shared.events.envelope import Sent
from shared.events.topics import TOPICS, topics_of
from shared.messaging import relay_rows
from shared.messaging.kafka import Kafka, cluster_id
from shared.messaging.outbox import forget_waker, waker_of
from shared.messaging.read_back import partition_of_shard, read_back
from shared.runtime.failpoints import reached
from shared.runtime.jobs import is_up
from shared.runtime.leases import release_leases
from shared.runtime.metrics import RelayMetrics
from shared.runtime.tracing import is_recording, record_published
from shared.storage.database import Database
from shared.values.ids import new_id

_RENEW_S, _FROM_ZERO_S = 1.0, 10.0
_SHORTEST_POLL_S, _LONGEST_POLL_S = 0.005, 0.05
_END_S = 1.0
_log = structlog.get_logger()


class AckOutOfPlace(RuntimeError):
    """Kafka acknowledged a record where an earlier one was: what is there must be read back before more is sent."""

    code: ClassVar[str] = "ack_out_of_place"

    def __init__(self, *, shard: str) -> None:
        """Keep the shard."""
        self.shard = shard
        super().__init__(f"{shard}: a record was acknowledged at an offset that was taken before.")


@dataclass(slots=True)
class _Shard:
    epoch: int
    acked: int
    # Reads begin at the floor. What was reached is recorded each second, and the floor from the first read that begins
    # a second or more after that: whoever drew a lower position before has committed by then.
    floor: int = 0
    reached: int = 0
    recorded: int = 0
    floor_after_read: int | None = None


@dataclass(frozen=True, slots=True)
class _Sending:
    """A batch of records on its way: one ack for all, the offset of the first."""

    shard: str
    rows: Sequence[Any]
    ack: asyncio.Future[Any]


class Relay:
    """One service's relay in one process."""

    def __init__(self, database: Database, *, kafka: Kafka, service: str) -> None:
        """Prepare the relay of a service's outbox; it needs a connection of its own."""
        self.owner = new_id()
        self.published = 0
        self._database = database
        self._kafka = kafka
        self._service = service
        self._metrics = RelayMetrics(service=service)
        self._group = f"relay/{service}"
        self._names = [f"{topic}-{n}" for topic in topics_of(service) for n in range(TOPICS[topic])]
        self._shards: dict[str, _Shard] = {}
        self._cluster = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until stopped; a failed send or a lost database ends this run, and the supervisor begins another."""
        waker = waker_of(self._database.url)
        try:
            self._cluster = await cluster_id(self._kafka)
            producer = self._producer()
            try:
                # Within the block that stops it: one that starts and is refused has connections already.
                await producer.start()
                await self._relay(producer, stop, waker)
            finally:
                await _end(producer)
        finally:
            forget_waker(self._database.url, waker)
            self._shards.clear()
            self._metrics.holds_shards(0)
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
                from_zero_at = self._record_reached(clock(), from_zero_at)
                await self._keep_shards()
                is_up()
            waker.clear()
            sent = await self._pass_on(producer)
            if sent:
                wait_s = _SHORTEST_POLL_S
                continue
            with contextlib.suppress(TimeoutError):
                # Not wait_for: that loses a cancellation which comes together with the signal (before Python 3.12).
                async with asyncio.timeout(wait_s):
                    await waker.wait()
            wait_s = min(wait_s * 1.5, _LONGEST_POLL_S)

    def _record_reached(self, now: float, from_zero_at: float) -> float:
        """Let the floors follow by a second; every 10 s read once from zero, for what committed later than that."""
        from_zero = now >= from_zero_at
        for shard in self._shards.values():
            if from_zero:
                shard.floor = 0
            shard.floor_after_read = shard.recorded
            shard.recorded = shard.reached
        return now + _FROM_ZERO_S if from_zero else from_zero_at

    def _move_floors(self, rows: Sequence[Any]) -> None:
        """Move the floors once a read has found what lay between the old and the new ones."""
        last = {row["shard"]: row["position"] for row in rows}
        for name, shard in self._shards.items():
            if shard.floor_after_read is not None:
                # A read is a page: what it did not come to is still to be read.
                shard.floor = max(shard.floor, min(shard.floor_after_read, last.get(name, shard.floor_after_read)))
                shard.floor_after_read = None

    async def _keep_shards(self) -> None:
        async with self._database.transaction() as tx:
            held = await relay_rows.keep_shards(tx, group=self._group, owner=self.owner, names=self._names)
            known = {name: shard for name, shard in self._shards.items() if held.get(name) == shard.epoch}
        new = [name for name in held if name not in known]
        back = await read_back(self._database, kafka=self._kafka, cluster=self._cluster, shards=new)
        self._metrics.read_backs(len(new))
        if back.beyond:
            # What was sent and never marked is sent again and skipped as a copy; the next take-over begins behind it.
            await self._mark(held, rows=[], last=back.beyond)
        self._metrics.leases_lost(len(self._shards) - len(known))
        self._metrics.holds_shards(len(held))
        # A shard that has more to read back than one pass reads is not sent on yet.
        self._shards = known | {name: _Shard(held[name], acked) for name, acked in back.whole.items()}

    async def _pass_on(self, producer: AIOKafkaProducer) -> int:
        """Send what is pending, in order, wait for every ack, mark what was acked; return how many."""
        if not self._shards:
            return 0
        async with self._database.reader() as tx:
            floors = {name: shard.floor for name, shard in self._shards.items()}
            rows = await relay_rows.pending(tx, floors=floors)
        self._move_floors(rows)
        if not rows:
            return 0
        reached("relay.read")
        began_ns = time.time_ns()
        sendings = await self._send_all(producer, rows)
        reached("relay.sent")
        self._metrics.batch(len(rows))
        self._metrics.sent(len(rows))
        acks = await asyncio.gather(*(sending.ack for sending in sendings))
        reached("relay.acked")
        self._metrics.acked(len(rows))
        if is_recording():
            self._record(rows, began_ns)
        last = self._notice_acks(sendings, [ack.offset for ack in acks])
        marked = await self._mark({name: shard.epoch for name, shard in self._shards.items()}, rows=rows, last=last)
        reached("relay.marked")
        self._metrics.unmarked(len(rows) - marked)
        for row in rows:
            self._shards[row["shard"]].reached = max(self._shards[row["shard"]].reached, row["position"])
        self.published += len(rows)
        return len(rows)

    def _notice_acks(self, sendings: Sequence[_Sending], offsets: Sequence[int]) -> dict[str, tuple[int, str]]:
        """Return where each shard's last record is, and its id; its offsets only grow.

        AckOutOfPlace when they do not: the topic under us lost its end or was made again.
        """
        last = {}
        for sending, first in zip(sendings, offsets, strict=True):
            shard = self._shards[sending.shard]
            if first <= shard.acked:
                raise AckOutOfPlace(shard=sending.shard)
            shard.acked = first + len(sending.rows) - 1
            last[sending.shard] = (shard.acked, sending.rows[-1]["id"])
        return last

    async def _mark(
        self, epochs: Mapping[str, int], *, rows: Sequence[Any], last: Mapping[str, tuple[int, str]]
    ) -> int:
        async with self._database.transaction() as tx:
            return await relay_rows.mark(
                tx, owner=self.owner, epochs=epochs, rows=rows, cluster=self._cluster, last=last
            )

    def _record(self, rows: Sequence[Any], began_ns: int) -> None:
        ended_ns = time.time_ns()
        for row in rows:
            record_published(
                f"publish {row['type']}",
                row["traceparent"],
                service=self._service,
                attributes={
                    "messaging.system": "kafka",
                    "messaging.destination.name": row["topic"],
                    "messaging.message.id": row["id"],
                    "messaging.batch.message_count": len(rows),
                },
                began_ns=began_ns,
                ended_ns=ended_ns,
            )

    async def _send_all(self, producer: AIOKafkaProducer, rows: Sequence[Any]) -> list[_Sending]:
        """Hand each shard's rows to the client in their order, a batch of records at a time; the acks come later."""
        sendings = []
        for shard, mine in _by_shard(rows).items():
            begin = 0
            while begin < len(mine):
                batch, end = producer.create_batch(), begin
                while end < len(mine) and batch.append(**_record(mine[end])) is not None:
                    end += 1
                sendings.append(_Sending(shard, mine[begin:end], await self._send(producer, shard, batch)))
                begin = end
        return sendings

    async def _send(self, producer: AIOKafkaProducer, shard: str, batch: Any) -> asyncio.Future[Any]:
        topic, partition = partition_of_shard(shard)
        future: asyncio.Future[Any] = await producer.send_batch(batch, topic, partition=partition)
        # Where a later batch cannot even be handed over, nobody waits for this one: its failure says nothing new.
        future.add_done_callback(_heard)
        return future


def _heard(ack: asyncio.Future[Any]) -> None:
    if not ack.cancelled():
        ack.exception()


def _by_shard(rows: Sequence[Any]) -> dict[str, list[Any]]:
    by_shard: dict[str, list[Any]] = {}
    for row in rows:
        by_shard.setdefault(row["shard"], []).append(row)
    return by_shard


def _record(row: Any) -> dict[str, Any]:
    sent = Sent.of(row)
    return {
        "key": sent.subject.encode(),
        "value": row["body"].encode(),
        "headers": sent.headers(),
        "timestamp": int(sent.time.timestamp() * 1000),
    }


async def _end(producer: AIOKafkaProducer) -> None:
    """Stop a producer; what the broker has not acknowledged within a second is left, and the next one sends it again.

    By itself it would wait for as long as the broker is away, and the relay could neither end nor begin anew.
    """
    try:
        async with asyncio.timeout(_END_S):
            await producer.stop()
    except TimeoutError:
        # The first cancel makes the sender wait for what is under way, the second ends that.
        sender = producer._sender.sender_task  # noqa: SLF001 - the producer offers no way to give up
        for _ in range(2):
            sender.cancel()
            await asyncio.wait({sender}, timeout=0.1)
        producer._message_accumulator.fail_all(KafkaTimeoutError())  # noqa: SLF001 - see above
        await producer.client.close()
