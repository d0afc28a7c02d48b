"""End nettings that wait for their parties' answers: nothing happened, and everybody may see why."""

from __future__ import annotations

from collections.abc import Sequence

from services.settlement.operations.book import SOURCE
from shared.events.settlement import NettingEnded
from shared.messaging.outbox import append
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction

PARTY_BARRED = {"code": "party_barred", "reason": "a party may not take part"}

_END = """
UPDATE netting SET state = 'ended', code = $2, reason = $3 WHERE netting_id IN (
    SELECT netting_id FROM netting WHERE netting_id = ANY($1) AND state = $4 ORDER BY netting_id FOR UPDATE)
RETURNING netting_id
"""
_LATE = """
SELECT netting_id FROM netting WHERE state = 'proposed' AND accept_by < clock_timestamp() ORDER BY accept_by LIMIT 500
"""


async def end_nettings(
    tx: Transaction,
    netting_ids: Sequence[str],
    *,
    code: str,
    reason: str,
    actor: str = "settlement",
    while_in: str = "proposed",
) -> None:
    """End those that are in that state still; others are left as they are."""
    if not netting_ids:
        return
    rows = await tx.pg.fetch(_END, list(netting_ids), code, reason, while_in)
    ended = sorted(row["netting_id"] for row in rows)
    said = [NettingEnded(netting_id=netting_id, code=code, reason=reason) for netting_id in ended]
    await append(tx, said, source=SOURCE)
    await record(tx, [Entry(actor, "netting.ended", netting_id, {"code": code}) for netting_id in ended])


async def end_late_nettings(database: Database) -> None:
    """End what was not accepted by all in time; a round with nothing to do is one read."""
    async with database.reader() as tx:
        rows = await tx.pg.fetch(_LATE)
    if rows:
        async with database.transaction() as tx:
            late = [row["netting_id"] for row in rows]
            await end_nettings(tx, late, code="netting_too_late", reason="not every party accepted in time")
