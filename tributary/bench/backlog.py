"""A backlog, as after a long outage of the broker: how fast it drains, and that memory does not grow with it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.events.envelope import Received
from shared.messaging.kafka import Kafka
from shared.storage.database import Database, Transaction
from tributary.bench.pipe import keep_effects, pipeline, publish

_EVENTS, _A_COMMIT = 200_000, 500
_SAMPLE_S, _WARM = 0.1, 20_000
_MIB = 2**20


async def drain_backlog(database: Database, kafka: Kafka) -> dict[str, Any]:
    """Fill the outbox, drain it; return events a second and this process' memory after the first tenth and at most."""
    for first in range(0, _EVENTS, _A_COMMIT):
        await publish(database, range(first, first + _A_COMMIT))
    done, seen = asyncio.Event(), 0
    early: list[int] = []
    late: list[int] = []

    async def keep(tx: Transaction, events: Sequence[Received]) -> None:
        nonlocal seen
        await keep_effects(tx, events)
        seen += len(events)
        if seen >= _EVENTS:
            tx.after_commit(done.set)

    async def sample() -> None:
        while not done.is_set():
            (late if seen > _WARM else early).append(_resident_bytes())
            await asyncio.sleep(_SAMPLE_S)

    started = time.perf_counter()
    async with pipeline(database, kafka, keep):
        sampling = asyncio.create_task(sample())
        await asyncio.wait_for(done.wait(), 300)
        seconds = time.perf_counter() - started
        await sampling
    return {
        "events": _EVENTS,
        "seconds": round(seconds, 1),
        "events_per_second": round(_EVENTS / seconds),
        "resident_mib_after_a_tenth": round(max(early) / _MIB),
        "resident_mib_at_most": round(max(late) / _MIB),
    }


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
