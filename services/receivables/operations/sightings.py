"""Claims that another bank has as well: held back until a person of the bank has looked. Never told to a firm."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, Literal

from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction

HELD_BACK = "SELECT DISTINCT receivable_id FROM sighting WHERE receivable_id = ANY($1) AND state <> 'cleared'"
_DECIDE = """
UPDATE sighting SET state = $2, reason = $3, decided_by = $4, decided_at = clock_timestamp()
WHERE receivable_id = $1 AND state <> $2 RETURNING crosscheck_id
"""


class UnknownSighting(LookupError):
    """Nothing was seen of this receivable at another bank, or that was decided so before."""

    code: ClassVar[str] = "unknown_sighting"

    def __init__(self, *, receivable_id: str) -> None:
        """Keep the receivable."""
        self.receivable_id = receivable_id
        super().__init__(f"Nothing is left to decide of the receivable {receivable_id}.")


async def held_back(tx: Transaction, receivable_ids: Collection[str]) -> set[str]:
    """Return which receivables wait for a person because another bank has them, or were confirmed to be there."""
    return {row["receivable_id"] for row in await tx.pg.fetch(HELD_BACK, list(receivable_ids))}


async def decide_sighting(
    database: Database, *, receivable_id: str, decision: Literal["cleared", "confirmed"], reason: str, actor: str
) -> None:
    """Clear what was seen, so that the claim can be financed, or confirm that it is sold elsewhere; UnknownSighting."""
    async with database.transaction() as tx:
        if not await tx.pg.fetch(_DECIDE, receivable_id, decision, reason, actor):
            raise UnknownSighting(receivable_id=receivable_id)
        await record(tx, [Entry(actor, f"sighting.{decision}", receivable_id, {"reason": reason})])
