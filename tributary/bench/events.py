"""Events a second from the outbox over Kafka to an effect, in one process, beside bare produce + consume.

Both move the same records, in turn, several times; then how long a commit takes to become an effect at a steady rate.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from shared.events.envelope import Event, Received, Sent
from shared.events.topics import TOPICS, partition_of
from shared.messaging.ddl import MESSAGING_1
from shared.messaging.inbox import Inbox
from shared.messaging.kafka import Kafka, ensure_topics
from shared.messaging.outbox import append
from shared.messaging.relay import Relay
from shared.storage.database import Database, Transaction, ensure_database
from shared.values.ids import new_id
from tributary.bench.machine import machine
from tributary.embedded.servers import EmbeddedServers

_SERVICE, _TOPIC, _BARE_TOPIC, _PARTITIONS = "bench", "scf.bench.thing.v1", "scf.bare.thing.v1", 6
_ROUNDS, _EVENTS, _SUBJECTS, _A_COMMIT = 3, 30_000, 500, 500
_STEADY_S, _STEADY_RATE, _STEADY_COMMIT = 10, 1_000, 10
_KEEP = "INSERT INTO effect (event_id) SELECT * FROM unnest($1::text[])"


class ThingHappened(Event):
    """An event of about a kilobyte."""

    type: ClassVar[str] = "thing.happened.v1"
    topic: ClassVar[str] = _TOPIC
    thing_id: str
    note: str = "x" * 900

    @property
    def subject(self) -> str:
        return self.thing_id


async def measure(home: Path) -> dict[str, Any]:
    """Return the figure with its baseline, ratio, and the latency from commit to effect."""
    TOPICS[_TOPIC] = TOPICS[_BARE_TOPIC] = _PARTITIONS
    async with EmbeddedServers(home) as servers:
        kafka = Kafka(servers.bootstrap_servers)
        database = Database(await ensure_database(server_url=servers.database_url, service=_SERVICE), pool_size=6)
        try:
            await _prepare(database)
            await ensure_topics(kafka, topics=dict.fromkeys((_TOPIC, _BARE_TOPIC), _PARTITIONS))
            rates, bare = [], []
            for _ in range(_ROUNDS):
                rates.append(await _drained(database, kafka))
                bare.append(await _bare(kafka))
            latencies = await _steady(database, kafka)
        finally:
            await database.close()
    value, baseline = median(rates), median(bare)
    return {
        "figure": "events",
        "value": round(value),
        "unit": "events/s",
        "baseline": round(baseline),
        "baseline_name": "bare aiokafka produce and consume of the same records, in the same process",
        "ratio": round(value / baseline, 3),
        "p50_ms": round(1000 * latencies[len(latencies) // 2], 1),
        "p99_ms": round(1000 * latencies[int(len(latencies) * 0.99)], 1),
        "latency_at": f"{_STEADY_RATE} events/s, commit to effect",
        "machine": machine(),
        "rounds": [round(rate) for rate in rates],
        "baseline_rounds": [round(rate) for rate in bare],
    }


async def _prepare(database: Database) -> None:
    async with database.transaction() as tx:
        for statement in MESSAGING_1:
            await tx.pg.execute(statement)
        await tx.pg.execute("CREATE TABLE effect (event_id text NOT NULL)")


@asynccontextmanager
async def _pipeline(
    database: Database, kafka: Kafka, handler: Callable[[Transaction, Sequence[Received]], Awaitable[None]]
) -> AsyncIterator[None]:
    stop = asyncio.Event()
    relay = Relay(database, kafka=kafka, service=_SERVICE)
    inbox = Inbox(database, kafka=kafka, service=_SERVICE, handlers={ThingHappened: handler}, topics=[_TOPIC])
    async with asyncio.TaskGroup() as group:
        group.create_task(relay.run(stop))
        group.create_task(inbox.run(stop))
        yield
        stop.set()


async def _drained(database: Database, kafka: Kafka) -> float:
    """Fill the outbox, then let relay and inbox drain it; return events a second."""
    done, seen = asyncio.Event(), 0

    async def keep(tx: Transaction, events: Sequence[Received]) -> None:
        nonlocal seen
        await tx.pg.execute(_KEEP, [event.id for event in events])
        seen += len(events)
        if seen >= _EVENTS:
            tx.after_commit(done.set)

    for first in range(0, _EVENTS, _A_COMMIT):
        await _publish(database, range(first, first + _A_COMMIT))
    started = time.perf_counter()
    async with _pipeline(database, kafka, keep):
        await asyncio.wait_for(done.wait(), 120)
        return _EVENTS / (time.perf_counter() - started)


async def _publish(database: Database, numbers: range) -> None:
    async with database.transaction() as tx:
        await append(tx, [ThingHappened(thing_id=f"t{n % _SUBJECTS}") for n in numbers], source=_SERVICE)


async def _bare(kafka: Kafka) -> float:
    """Send records like the relay's with the same client settings and read them again; return records a second."""
    body = ThingHappened(thing_id="t1").model_dump_json().encode()
    headers = Sent(new_id(), ThingHappened.type, _SERVICE, "t1", 1, datetime.now(UTC), None).headers()
    consumer = AIOKafkaConsumer(_BARE_TOPIC, **kafka.options(), auto_offset_reset="none")
    producer = AIOKafkaProducer(
        **kafka.options(), enable_idempotence=True, acks="all", max_batch_size=256 * 1024, linger_ms=2
    )
    await consumer.start()
    await producer.start()
    try:
        await consumer.seek_to_end()
        for partition in consumer.assignment():
            await consumer.position(partition)
        started = time.perf_counter()

        async def consume() -> None:
            seen = 0
            while seen < _EVENTS:
                seen += sum(map(len, (await consumer.getmany(timeout_ms=200, max_records=500)).values()))

        consuming = asyncio.create_task(consume())
        for n in range(_EVENTS):
            key = f"t{n % _SUBJECTS}"
            partition = partition_of(topic=_BARE_TOPIC, subject=key)
            await producer.send(_BARE_TOPIC, body, key=key.encode(), partition=partition, headers=headers)
        await producer.flush()
        await asyncio.wait_for(consuming, 120)
        return _EVENTS / (time.perf_counter() - started)
    finally:
        await producer.stop()
        await consumer.stop()


async def _steady(database: Database, kafka: Kafka) -> list[float]:
    """Publish at a steady rate; return, sorted, the seconds from each event's commit to its effect's."""
    latencies: list[float] = []

    async def keep(tx: Transaction, events: Sequence[Received]) -> None:
        await tx.pg.execute(_KEEP, [event.id for event in events])

        def committed() -> None:
            now = datetime.now(UTC)
            latencies.extend((now - event.time).total_seconds() for event in events)

        tx.after_commit(committed)

    async with _pipeline(database, kafka, keep):
        await asyncio.sleep(1)
        clock = asyncio.get_running_loop().time
        started, commits = clock(), _STEADY_S * _STEADY_RATE // _STEADY_COMMIT
        for nth in range(commits):
            await _publish(database, range(nth * _STEADY_COMMIT, (nth + 1) * _STEADY_COMMIT))
            await asyncio.sleep(max(0.0, started + (nth + 1) * _STEADY_COMMIT / _STEADY_RATE - clock()))
        async with asyncio.timeout(30):
            while len(latencies) < commits * _STEADY_COMMIT:  # noqa: ASYNC110 - the bench may poll
                await asyncio.sleep(0.05)
    # The first second meets empty caches and a consumer that has just joined.
    return sorted(latencies[_STEADY_RATE:])
