"""Propagate what is due: once for all notes of a programme. A large one gets a generation instead (decision 0026)."""

from __future__ import annotations

import asyncio

from services.credit.operations.generations.carry import begin
from services.credit.operations.large_programmes import INLINE_LINES, PropagationFailed, large_among
from services.credit.operations.propagate_limits import propagate_limits
from shared.messaging.outbox import wake_after_commit as wake_relay_after_commit
from shared.runtime.offload import Confined
from shared.runtime.tracing import handling
from shared.storage.database import Database, Transaction

_LOOK_UP = """
WITH moved AS (DELETE FROM due_input RETURNING enterprise_id, currency, cause, traceparent)
INSERT INTO due_propagation (programme_id, cause, traceparent)
SELECT p.programme_id, m.cause, m.traceparent FROM moved m JOIN programme p ON p.anchor_id = m.enterprise_id
UNION SELECT p.programme_id, m.cause, m.traceparent FROM moved m JOIN programme p ON p.group_head_id = m.enterprise_id
UNION SELECT l.programme_id, m.cause, m.traceparent FROM moved m JOIN line l ON l.enterprise_id = m.enterprise_id
UNION SELECT p.programme_id, m.cause, m.traceparent FROM moved m JOIN programme p ON p.currency = m.currency
"""
# In which order programmes come does not matter: one that another worker propagates is passed over, and so is one
# whose generation is on its way.
_TAKE = """
SELECT p.*, coalesce((SELECT open_date FROM book), current_date) AS today FROM programme p
WHERE p.programme_id = ANY(ARRAY(
    SELECT DISTINCT d.programme_id FROM due_propagation d WHERE d.not_before <= clock_timestamp()
        AND NOT EXISTS (SELECT FROM generation v WHERE v.programme_id = d.programme_id)))
ORDER BY p.programme_id LIMIT 1 FOR UPDATE OF p SKIP LOCKED
"""
_TAKE_ONE = """
SELECT p.programme_id FROM programme p WHERE p.programme_id = $1
    AND NOT EXISTS (SELECT FROM generation v WHERE v.programme_id = p.programme_id) FOR UPDATE OF p SKIP LOCKED
"""
_LAST_NOTE = """
SELECT cause, traceparent FROM due_propagation WHERE programme_id = $1 ORDER BY note_id DESC LIMIT 1
"""
_DEFER = """
UPDATE due_propagation SET not_before = clock_timestamp() + make_interval(secs => $2) WHERE programme_id = $1
"""
_AGAIN_AFTER_S = 5.0


# One process for what is too much for the loop; generations have another, for they take longer.
_process = Confined(processes=1, memory_bytes=4 * 1024**3, seconds=600.0)


async def propagate_due(database: Database) -> None:
    """Propagate every programme that is due; several workers may at once. One that fails holds up no other."""
    failed: Exception | None = None
    async with database.transaction() as tx:
        await tx.pg.execute(_LOOK_UP)
    while True:
        programme_id: str | None = None
        try:
            async with database.transaction() as tx:
                row = await tx.pg.fetchrow(_TAKE)
                if row is None:
                    break
                programme_id = row["programme_id"]
                is_inline = not await large_among(tx, [row], most=INLINE_LINES)
                if is_inline:
                    await _propagate(tx, programme_id)
                elif await large_among(tx, [row]):
                    await begin(tx, programme_id=programme_id)
                    is_inline = True
            if not is_inline:
                await _process.run(propagate_elsewhere, database.url, programme_id)
                async with database.transaction() as tx:
                    wake_relay_after_commit(tx)
        except Exception as error:
            if programme_id is None:
                raise
            failed = error
            async with database.transaction() as tx:
                await tx.pg.execute(_DEFER, programme_id, _AGAIN_AFTER_S)
    if failed is not None:
        raise failed


def propagate_elsewhere(url: str, programme_id: str) -> None:
    """Propagate a programme that is due in a process of its own, if no other worker has it."""
    try:
        asyncio.run(_propagate_elsewhere(url, programme_id))
    except Exception as error:  # noqa: BLE001 - few errors can be sent from process to process, their words can
        raise PropagationFailed(programme_id, repr(error)) from None


async def _propagate_elsewhere(url: str, programme_id: str) -> None:
    database = Database(url, pool_size=1)
    try:
        async with database.transaction() as tx:
            if await tx.pg.fetchval(_TAKE_ONE, programme_id) is not None:
                await _propagate(tx, programme_id)
    finally:
        await database.close()


async def _propagate(tx: Transaction, programme_id: str) -> None:
    # Another worker may have been quicker, before we had the lock.
    note = await tx.pg.fetchrow(_LAST_NOTE, programme_id)
    if note is not None:
        with handling("propagate", [(programme_id, note["traceparent"])]):
            await propagate_limits(tx, programme_ids=[programme_id], cause=note["cause"], wholly=True)
