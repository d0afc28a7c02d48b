"""Carry generations from their note to their last event; whoever stops in between, another worker goes on there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from services.credit.operations.due_propagations import wake_after_commit
from services.credit.operations.generations.flip import Flipped, flip
from services.credit.operations.generations.prepare import prepare
from services.credit.operations.generations.write import write_some
from shared.messaging.outbox import wake_after_commit as wake_relay_after_commit
from shared.runtime.offload import Confined
from shared.storage.database import Database, Transaction

R = TypeVar("R")
_CLAIM_S, _RENEW_S, _AGAIN_AFTER_S, _WRITE_S = 20.0, 5.0, 5.0, 2.0
_BEGIN = """
INSERT INTO generation (programme_id, cause, traceparent)
SELECT programme_id, cause, traceparent FROM due_propagation WHERE programme_id = $1 ORDER BY note_id DESC LIMIT 1
ON CONFLICT DO NOTHING
"""
# An unflipped one that somebody left is computed anew, under another number.
_TAKE = """
UPDATE generation SET claimed_until = clock_timestamp() + make_interval(secs => $1),
    number = CASE WHEN flipped_at IS NULL THEN nextval('generation_number') ELSE number END
WHERE programme_id = (SELECT programme_id FROM generation WHERE claimed_until <= clock_timestamp()
    ORDER BY claimed_until, programme_id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING programme_id, number, flipped_at
"""
_RENEW = """
UPDATE generation SET claimed_until = clock_timestamp() + make_interval(secs => $3)
WHERE (programme_id, number) = ($1, $2)
"""
_AGAIN = "UPDATE generation SET attempts = attempts + 1 WHERE (programme_id, number) = ($1, $2)"
# A million lines take some gigabytes; the process ends with whoever waits for it.
_process = Confined(processes=1, memory_bytes=16 * 1024**3, seconds=3600.0)


async def begin(tx: Transaction, *, programme_id: str) -> None:
    """Begin a generation of a programme that is due; `carry_generations` does the rest."""
    await tx.pg.execute(_BEGIN, programme_id)
    wake_after_commit(tx)


async def carry_generations(database: Database) -> None:
    """Compute, flip and write every generation that no other worker has; one that fails holds up no other."""
    failed: Exception | None = None
    while True:
        async with database.transaction() as tx:
            taken = await tx.pg.fetchrow(_TAKE, _CLAIM_S)
        if taken is None:
            break
        programme_id, number = taken["programme_id"], taken["number"]
        try:
            if taken["flipped_at"] is not None or await _compute_and_flip(database, programme_id, number):
                await _write(database, programme_id, number)
        except Exception as error:  # noqa: BLE001 - the others go on; the job reports it
            failed = error
            await _claim(database, programme_id, number, seconds=_AGAIN_AFTER_S)
    if failed is not None:
        raise failed


async def _compute_and_flip(database: Database, programme_id: str, number: int) -> bool:
    while True:
        await _claimed(database, programme_id, number, _process.run(prepare, database.url, programme_id, number))
        done = await flip(database, programme_id=programme_id, number=number)
        if done is not Flipped.MOVED:
            return done is Flipped.FLIPPED
        async with database.transaction() as tx:
            await tx.pg.execute(_AGAIN, programme_id, number)


async def _write(database: Database, programme_id: str, number: int) -> None:
    while not await _claimed(
        database, programme_id, number, _process.run(write_some, database.url, programme_id, number, _WRITE_S)
    ):
        pass
    async with database.transaction() as tx:
        wake_after_commit(tx)
        wake_relay_after_commit(tx)


async def _claimed(database: Database, programme_id: str, number: int, work: Coroutine[Any, Any, R]) -> R:
    """Keep the claim while another process works; its commits wake nobody here, so this does."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=_RENEW_S))[0]:
            await _claim(database, programme_id, number, seconds=_CLAIM_S)
    finally:
        task.cancel()
    return await task


async def _claim(database: Database, programme_id: str, number: int, *, seconds: float) -> None:
    async with database.transaction() as tx:
        await tx.pg.execute(_RENEW, programme_id, number, seconds)
        wake_relay_after_commit(tx)
