"""How long events wait whose relay was killed: two relays in processes of their own, one of them gets kill -9."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import uvloop

from shared.events.envelope import Received
from shared.messaging.kafka import Kafka
from shared.messaging.relay import Relay
from shared.runtime.settings import Settings
from shared.storage.database import Database, Transaction
from tributary.bench.pipe import PARTITIONS, SERVICE, SUBJECTS, TOPIC, consuming, keep_effects, name_topics, publish

_ROUNDS = 3
_EVERY_S, _A_COMMIT = 0.02, 20
_AFTER_S = 9.0
_HELD = "SELECT owner, count(*) AS many FROM lease WHERE name = ANY($1) AND expires_at > clock_timestamp() GROUP BY 1"


async def measure_takeovers(database: Database, kafka: Kafka, *, server_url: str) -> list[float]:
    """Return, kill by kill, the longest time in seconds from a commit after the kill to its effect."""
    return [await _takeover(database, kafka, server_url=server_url) for _ in range(_ROUNDS)]


async def _takeover(database: Database, kafka: Kafka, *, server_url: str) -> float:
    killed_at: datetime | None = None
    longest = 0.0

    async def keep(tx: Transaction, events: Sequence[Received]) -> None:
        await keep_effects(tx, events)

        def committed() -> None:
            nonlocal longest
            now = datetime.now(UTC)
            waits = [(now - event.time).total_seconds() for event in events if killed_at and event.time > killed_at]
            longest = max([longest, *waits])

        tx.after_commit(committed)

    async with _relay(kafka, server_url) as victim, _relay(kafka, server_url), consuming(database, kafka, keep):
        await _shared_by_two(database)
        publishing = asyncio.create_task(_publish_steadily(database))
        await asyncio.sleep(1)
        killed_at = datetime.now(UTC)
        victim.kill()
        await asyncio.sleep(_AFTER_S)
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
    return round(longest, 2)


async def _publish_steadily(database: Database) -> None:
    nth = 0
    while True:
        await publish(database, range(nth, nth + _A_COMMIT))
        nth = (nth + _A_COMMIT) % SUBJECTS
        await asyncio.sleep(_EVERY_S)


async def _shared_by_two(database: Database) -> None:
    """Wait until two relays hold half of the shards each."""
    shards = [f"{TOPIC}-{n}" for n in range(PARTITIONS)]
    async with asyncio.timeout(30):
        while True:
            async with database.reader() as tx:
                rows = await tx.pg.fetch(_HELD, shards)
            if [row["many"] for row in rows] == [PARTITIONS // 2] * 2:
                return
            await asyncio.sleep(0.1)


@asynccontextmanager
async def _relay(kafka: Kafka, server_url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the bench's relay in a process of its own."""
    environment = {**os.environ, "DATABASE_URL": server_url, "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tributary.bench.takeover", env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _run_relay() -> None:
    name_topics(TOPIC)
    settings = Settings()
    database = Database(settings.database(SERVICE), pool_size=2)
    await Relay(database, kafka=Kafka.of(settings), service=SERVICE).run(asyncio.Event())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run_relay())
