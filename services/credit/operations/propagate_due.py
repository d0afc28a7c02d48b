"""Propagate what is due: once for all notes of a programme. A large one gets a generation instead (decision 0026)."""

from __future__ import annotations

from services.credit.operations.generations.carry import begin
from services.credit.operations.large_programmes import large_among
from services.credit.operations.propagate_limits import propagate_limits
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
_LAST_NOTE = """
SELECT cause, traceparent FROM due_propagation WHERE programme_id = $1 ORDER BY note_id DESC LIMIT 1
"""
_DEFER = """
UPDATE due_propagation SET not_before = clock_timestamp() + make_interval(secs => $2) WHERE programme_id = $1
"""
_AGAIN_AFTER_S = 5.0


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
                if await large_among(tx, [row]):
                    await begin(tx, programme_id=programme_id)
                else:
                    await _propagate(tx, programme_id)
        except Exception as error:
            if programme_id is None:
                raise
            failed = error
            async with database.transaction() as tx:
                await tx.pg.execute(_DEFER, programme_id, _AGAIN_AFTER_S)
    if failed is not None:
        raise failed


async def _propagate(tx: Transaction, programme_id: str) -> None:
    # Another worker may have been quicker, before we had the lock.
    note = await tx.pg.fetchrow(_LAST_NOTE, programme_id)
    if note is not None:
        with handling("propagate", [(programme_id, note["traceparent"])]):
            await propagate_limits(tx, programme_ids=[programme_id], cause=note["cause"])
