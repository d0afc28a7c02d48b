"""What an obligor decided together, and what became of each receivable; its own people and the bank read it (R23)."""

from __future__ import annotations

from typing import Any, ClassVar

from shared.storage.database import Database, Transaction
from shared.storage.paging import page, read_place
from shared.values.money import Money
from shared.web.auth import ForeignParty

_BATCH = """
SELECT batch_id, kind, party, state, undertaking, due_date, many, totals, digest, code, reason, approval_id, made_at
FROM decision_batch WHERE batch_id = $1
"""
_COUNTS = "SELECT outcome, count(*) AS many FROM decision_item WHERE batch_id = $1 GROUP BY outcome"
ITEMS = """
SELECT i.nth, i.asked, i.receivable_id, r.seller_id, r.number, r.due_date, i.currency, i.amount_minor, i.outcome, i.code
FROM decision_item i LEFT JOIN receivable r USING (receivable_id)
WHERE i.batch_id = $1 AND i.nth > $2 AND ($3 = '' OR i.outcome = $3) ORDER BY i.nth LIMIT $4
"""


class UnknownBatch(LookupError):
    """No batch has this id."""

    code: ClassVar[str] = "unknown_batch"

    def __init__(self, *, batch_id: str) -> None:
        """Keep the id asked for."""
        self.batch_id = batch_id
        super().__init__(f"There is no batch {batch_id}.")


async def batch(database: Database, *, batch_id: str, party: str | None) -> dict[str, Any]:
    """Return what was decided together, its sums, and how many came to what; UnknownBatch or ForeignParty."""
    async with database.snapshot() as tx:
        found = await _batch(tx, batch_id, party)
        counts = {row["outcome"]: row["many"] for row in await tx.pg.fetch(_COUNTS, batch_id)}
    return {**found, "outcomes": counts}


async def batch_items(
    database: Database, *, batch_id: str, after: str, limit: int, outcome: str, party: str | None
) -> dict[str, Any]:
    """Return a page of what became of each receivable; UnknownBatch, ForeignParty or InvalidCursor."""
    place = read_place(after, first=1)
    async with database.snapshot() as tx:
        await _batch(tx, batch_id, party)
        rows = await tx.pg.fetch(ITEMS, batch_id, place, outcome, limit + 1)
    found = []
    for row in rows:
        each = dict(row)
        currency, minor = each.pop("currency"), each.pop("amount_minor")
        found.append({**each, "amount": None if currency is None else Money(minor, currency).wire()})
    return page(found, limit=limit, key=lambda each: str(each["nth"]))


async def _batch(tx: Transaction, batch_id: str, party: str | None) -> dict[str, Any]:
    row = await tx.pg.fetchrow(_BATCH, batch_id)
    if row is None:
        raise UnknownBatch(batch_id=batch_id)
    if party is not None and party != row["party"]:
        raise ForeignParty
    return dict(row)
