"""Events a second from the outbox over Kafka to an effect, in one process, beside bare produce + consume.

Both move the same records, in turn, several times. Then: how long a commit takes to become an effect at a steady rate,
a large backlog and the memory it takes, and how long events wait whose relay was killed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from shared.events.envelope import Received, Sent
from shared.events.topics import partition_of
from shared.messaging.kafka import Kafka, ensure_topics
from shared.runtime.garbage import tune_gc
from shared.storage.database import Database, Transaction, ensure_database
from shared.values.ids import new_id
from tributary.bench.backlog import drain_backlog
from tributary.bench.machine import machine
from tributary.bench.pipe import (
    SERVICE,
    SUBJECTS,
    TOPIC,
    ThingHappened,
    keep_effects,
    name_topics,
    pipeline,
    prepare,
    publish,
)
from tributary.bench.takeover import measure_takeovers
from tributary.embedded.servers import EmbeddedServers

_BARE = "scf.bare.thing.v1"
_ROUNDS, _EVENTS, _A_COMMIT = 3, 100_000, 500
_STEADY_S, _STEADY_RATE, _STEADY_COMMIT = 10, 1_000, 10


async def measure(home: Path) -> dict[str, Any]:
    """Return the figure with its baseline, ratio, and the latency from commit to effect."""
    topics = name_topics(TOPIC, _BARE)
    async with EmbeddedServers(home) as servers:
        kafka = Kafka(servers.bootstrap_servers)
        database = Database(await ensure_database(server_url=servers.database_url, service=SERVICE), pool_size=6)
        try:
            await prepare(database)
            await ensure_topics(kafka, topics=topics)
            # As every process that serves or works does.
            tune_gc()
            rates, bare = [], []
            for _ in range(_ROUNDS):
                rates.append(await _drained(database, kafka))
                bare.append(await _bare(kafka))
            latencies = await _steady(database, kafka)
            backlog = await drain_backlog(database, kafka)
            takeovers = await measure_takeovers(database, kafka, server_url=servers.database_url)
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
        "takeover_s": median(takeovers),
        "takeover_of": "from commit to effect, at worst, of events whose relay was killed by kill -9",
        "takeovers_s": takeovers,
        "backlog": backlog,
        "machine": machine(),
        "rounds": [round(rate) for rate in rates],
        "baseline_rounds": [round(rate) for rate in bare],
    }


async def _drained(database: Database, kafka: Kafka) -> float:
    """Fill the outbox, then let relay and inbox drain it; return events a second."""
    done, seen = asyncio.Event(), 0

    async def keep(tx: Transaction, events: Sequence[Received]) -> None:
        nonlocal seen
        await keep_effects(tx, events)
        seen += len(events)
        if seen >= _EVENTS:
            tx.after_commit(done.set)

    for first in range(0, _EVENTS, _A_COMMIT):
        await publish(database, range(first, first + _A_COMMIT))
    started = time.perf_counter()
    async with pipeline(database, kafka, keep):
        await asyncio.wait_for(done.wait(), 120)
        return _EVENTS / (time.perf_counter() - started)


async def _bare(kafka: Kafka) -> float:
    """Send records like the relay's with the same client settings and read them again; return records a second."""
    body = ThingHappened(thing_id="t1").model_dump_json().encode()
    headers = Sent(new_id(), ThingHappened.type, SERVICE, "t1", 1, datetime.now(UTC), None).headers()
    consumer = AIOKafkaConsumer(_BARE, **kafka.options(), auto_offset_reset="none")
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
            key = f"t{n % SUBJECTS}"
            partition = partition_of(topic=_BARE, subject=key)
            await producer.send(_BARE, body, key=key.encode(), partition=partition, headers=headers)
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
        await keep_effects(tx, events)

        def committed() -> None:
            now = datetime.now(UTC)
            latencies.extend((now - event.time).total_seconds() for event in events)

        tx.after_commit(committed)

    async with pipeline(database, kafka, keep):
        await asyncio.sleep(1)
        clock = asyncio.get_running_loop().time
        started, commits = clock(), _STEADY_S * _STEADY_RATE // _STEADY_COMMIT
        for nth in range(commits):
            await publish(database, range(nth * _STEADY_COMMIT, (nth + 1) * _STEADY_COMMIT))
            await asyncio.sleep(max(0.0, started + (nth + 1) * _STEADY_COMMIT / _STEADY_RATE - clock()))
        async with asyncio.timeout(30):
            while len(latencies) < commits * _STEADY_COMMIT:  # noqa: ASYNC110 - the bench may poll
                await asyncio.sleep(0.05)
    # The first second meets empty caches and a consumer that has just joined.
    return sorted(latencies[_STEADY_RATE:])
